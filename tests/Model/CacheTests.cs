using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>A model that reads its rows piece by piece through the cache gives the hidden states of one pass over whole rows.</summary>
public sealed class CacheTests : IDisposable
{
    private const int Rows = 3, Siblings = 4, Vocab = 13;
    private const float Tolerance = 1e-4f;

    private static readonly int[] Lengths = [14, 9, 12];
    private static readonly int[] Prompts = [6, 3, 5];
    private static readonly int PromptTokens = Prompts.Max();
    private static readonly int NewTokens = Lengths.Zip(Prompts, (length, prompt) => length - prompt).Max();

    private readonly CpuDevice _device = new(1);
    private readonly int[][] _rows = [.. Lengths.Select((length, row) => TestModels.RandomTokens(10 + (ulong)row, length, Vocab))];
    private readonly List<IDisposable> _owned = [];
    private readonly Dictionary<CachedModel, PromptSlots> _slots = [];

    [Theory, InlineData("gpt2"), InlineData("llama"), InlineData("qwen2")]
    public void Ragged_prompts_and_then_single_tokens_equal_whole_rows(string family) =>
        ReadTokenByToken(NewModel(family), isBidirectional: false);

    [Theory, InlineData("gpt2"), InlineData("llama"), InlineData("qwen2")]
    public void A_prompt_read_in_both_directions_and_the_text_after_it_equal_whole_rows(string family) =>
        ReadTokenByToken(NewModel(family), isBidirectional: true);

    [Theory]
    [InlineData("gpt2", false), InlineData("llama", false), InlineData("qwen2", false), InlineData("qwen2", true)]
    public void Siblings_of_which_one_is_kept_equal_whole_rows(string family, bool isBidirectional)
    {
        LanguageModel model = NewModel(family);
        float[][] whole = Whole(model, isBidirectional);
        CachedModel cached = Own(new CachedModel(model, Rows, Rows, PromptTokens, NewTokens, Siblings));
        Tensor chosenTensor = Integers(Rows), outside = Integers(Rows);
        Prefill(cached, isBidirectional);
        int kept = 0, passed = 0;
        for (int step = 0; step < NewTokens; step++)
        {
            int[] siblings = TestModels.RandomTokens(1000 + (ulong)step, Rows * Siblings, Vocab);
            for (int row = 0; row < Rows; row++)
            {
                // Every third token is none of the siblings, as if it had been drawn from outside of the candidates.
                int chosen = (step + row) % 3 == 2 ? -1 : (step + 2 * row) % Siblings;
                chosenTensor.Span<int>()[row] = chosen;
                outside.Span<int>()[row] = chosen < 0 ? 1 : 0;
                if (chosen >= 0) siblings[row * Siblings + chosen] = Token(row, Prompts[row] + step);
                cached.Single.Tokens.Span<int>()[row] = Token(row, Prompts[row] + step);
            }
            siblings.CopyTo(cached.Step.Tokens.Span<int>());
            model.Trunk.Extend(Tensor.None, cached.Cache, CacheLayout.Siblings, cached.Step);
            for (int row = 0; row < Rows; row++)
            {
                int chosen = chosenTensor.Span<int>()[row];
                if (chosen < 0) continue;
                AssertHidden(whole, row, Prompts[row] + step, cached.Step.Hidden, row * Siblings + chosen);
                kept++;
            }
            model.Trunk.KeepSibling(cached.Cache, chosenTensor);
            model.Trunk.Extend(outside, cached.Cache, CacheLayout.Sequence, cached.Single);
            for (int row = 0; row < Rows; row++)
            {
                if (outside.Span<int>()[row] == 0) continue;
                AssertHidden(whole, row, Prompts[row] + step, cached.Single.Hidden, row);
                passed++;
            }
            model.Ops.Advance(cached.Cache.Lengths, Tensor.None, 1);
        }
        Assert.True(kept > 5 && passed > 5);
    }

    [Theory]
    [InlineData("gpt2", false), InlineData("llama", false), InlineData("qwen2", true)]
    public void Samples_of_one_prompt_share_its_columns_and_have_the_bits_that_each_has_alone(string family, bool isBidirectional)
    {
        LanguageModel model = NewModel(family);
        // More than four tokens in each pass of several: products of fewer sum in another order (docs/design.md).
        const int Candidates = 5;
        int[] promptOf = [0, 0, 1, 1], rowOf = [0, 2];
        CachedModel together = Own(new CachedModel(model, promptOf.Length, promptOf.Length, PromptTokens, NewTokens, Candidates));
        CachedModel alone = Own(new CachedModel(model, 1, 1, PromptTokens, NewTokens, Candidates));
        Tensor next = Integers(promptOf.Length), one = Integers(1);
        Prefill(together, isBidirectional, [.. promptOf.Select(prompt => rowOf[prompt])]);
        Assert.Equal(promptOf, together.Cache.PromptOf.Span<int>().ToArray());
        Assert.Equal([Prompts[rowOf[0]], Prompts[rowOf[1]], 0, 0], together.Cache.Prompts!.Lengths.Span<int>().ToArray());
        for (int row = 0; row < promptOf.Length; row++)
        {
            model.Ops.Fill(together.Cache.Lengths, 0);   // back to the prompts, without reading them anew
            Prefill(alone, isBidirectional, rowOf[promptOf[row]]);
            Assert.Equal(Hidden(alone.Hidden, 0, 1), Hidden(together.Hidden, row, 1));
            for (int step = 0; step < 3; step++)
            {
                for (int r = 0; r < promptOf.Length; r++) next.Span<int>()[r] = (5 * r + 3 * step) % Vocab;
                one.Span<int>()[0] = next.Span<int>()[row];
                together.Append(next, Tensor.None);
                alone.Append(one, Tensor.None);
                Assert.Equal(Hidden(alone.Single.Hidden, 0, 1), Hidden(together.Single.Hidden, row, 1));
            }
            int[] siblings = TestModels.RandomTokens(77, promptOf.Length * Candidates, Vocab);
            siblings.CopyTo(together.Step.Tokens.Span<int>());
            siblings.AsSpan(row * Candidates, Candidates).CopyTo(alone.Step.Tokens.Span<int>());
            model.Trunk.Extend(Tensor.None, together.Cache, CacheLayout.Siblings, together.Step);
            model.Trunk.Extend(Tensor.None, alone.Cache, CacheLayout.Siblings, alone.Step);
            Assert.Equal(Hidden(alone.Step.Hidden, 0, Candidates), Hidden(together.Step.Hidden, row * Candidates, Candidates));
        }

        static float[] Hidden(Tensor hidden, int first, int count) => hidden.Range(first, count).Span<float>().ToArray();
    }

    public void Dispose()
    {
        foreach (IDisposable owned in Enumerable.Reverse(_owned)) owned.Dispose();
        _device.Dispose();
    }

    private void ReadTokenByToken(LanguageModel model, bool isBidirectional)
    {
        float[][] whole = Whole(model, isBidirectional);
        CachedModel cached = Own(new CachedModel(model, Rows, Rows, PromptTokens, NewTokens, step: 1));
        Tensor next = Integers(Rows);
        Prefill(cached, isBidirectional);
        for (int row = 0; row < Rows; row++) AssertHidden(whole, row, Prompts[row] - 1, cached.Hidden, row);
        for (int step = 0; step < NewTokens; step++)
        {
            for (int row = 0; row < Rows; row++) next.Span<int>()[row] = Token(row, Prompts[row] + step);
            cached.Append(next, Tensor.None);
            for (int row = 0; row < Rows; row++) AssertHidden(whole, row, Prompts[row] + step, cached.Single.Hidden, row);
        }
        Assert.Equal(Prompts, cached.Cache.Prompts!.Lengths.Span<int>().ToArray());
        Assert.Equal(Enumerable.Repeat(NewTokens, Rows), cached.Cache.Lengths.Span<int>().ToArray());
    }

    private float[][] Whole(LanguageModel model, bool isBidirectional) =>
        [.. _rows.Select((row, r) => TestModels.Hidden(model, row, isBidirectional ? Prompts[r] : 0))];

    private void Prefill(CachedModel cached, bool isBidirectional) => Prefill(cached, isBidirectional, 0, 1, 2);

    /// <summary>Runs the prompts of these of the rows.</summary>
    private void Prefill(CachedModel cached, bool isBidirectional, params int[] rows)
    {
        foreach (KvCache cache in (KvCache[])[cached.Cache, cached.Cache.Prompts!])
        {
            for (int layer = 0; layer < cache.Layers; layer++)
            {
                cache.Keys(layer).Span<float>().Fill(float.NaN);   // a column that nobody wrote must not be read
                cache.Values(layer).Span<float>().Fill(float.NaN);
            }
        }
        PromptSlots slots = _slots.TryGetValue(cached, out PromptSlots? old) ? old : _slots[cached] = new PromptSlots(rows.Length, rows.Length, PromptTokens);
        slots.Reset(keepsPrompts: false);
        for (int i = 0; i < rows.Length; i++) slots.Take(i, _rows[rows[i]].AsSpan(0, Prompts[rows[i]]));
        Tensor source = Integers(rows.Length);
        for (int i = 0; i < rows.Length; i++) source.Span<int>()[i] = rows.Length + slots.Of[i];
        cached.Start(slots, new int[rows.Length], isBidirectional ? CacheLayout.Prompt : CacheLayout.Sequence, source);
    }

    /// <summary>Token of a row; any past its end.</summary>
    private int Token(int row, int at) => at < Lengths[row] ? _rows[row][at] : 0;

    private static void AssertHidden(float[][] whole, int row, int at, Tensor hidden, int hiddenRow)
    {
        if (at >= Lengths[row]) return;
        int width = hidden.Shape.Last;
        for (int c = 0; c < width; c++)
            Assert.Equal(whole[row][at * width + c], hidden.Span<float>()[hiddenRow * width + c], Tolerance);
    }

    private LanguageModel NewModel(string family) => Own(TestModels.Language(Ops.For(_device), TestModels.Config(family), 3));

    private Tensor Integers(int count)
    {
        (Tensor tensor, DeviceBuffer memory) = Arena.Build(_device, arena => arena.Take(count, DType.I32));
        Own(memory);
        return tensor;
    }

    private T Own<T>(T value) where T : IDisposable
    {
        _owned.Add(value);
        return value;
    }
}
