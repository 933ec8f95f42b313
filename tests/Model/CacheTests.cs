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
        CachedModel cached = Own(new CachedModel(model, Rows, PromptTokens, NewTokens, Siblings));
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

    public void Dispose()
    {
        foreach (IDisposable owned in Enumerable.Reverse(_owned)) owned.Dispose();
        _device.Dispose();
    }

    private void ReadTokenByToken(LanguageModel model, bool isBidirectional)
    {
        float[][] whole = Whole(model, isBidirectional);
        CachedModel cached = Own(new CachedModel(model, Rows, PromptTokens, NewTokens, step: 1));
        Tensor next = Integers(Rows);
        Prefill(cached, isBidirectional);
        for (int row = 0; row < Rows; row++) AssertHidden(whole, row, Prompts[row] - 1, cached.LastHidden, row);
        for (int step = 0; step < NewTokens; step++)
        {
            for (int row = 0; row < Rows; row++) next.Span<int>()[row] = Token(row, Prompts[row] + step);
            cached.Append(next, Tensor.None);
            for (int row = 0; row < Rows; row++) AssertHidden(whole, row, Prompts[row] + step, cached.Single.Hidden, row);
        }
        Assert.Equal(Prompts.Select(prompt => prompt + NewTokens), cached.Cache.Lengths.Span<int>().ToArray());
    }

    private float[][] Whole(LanguageModel model, bool isBidirectional) =>
        [.. _rows.Select((row, r) => TestModels.Hidden(model, row, isBidirectional ? Prompts[r] : 0))];

    private void Prefill(CachedModel cached, bool isBidirectional)
    {
        for (int layer = 0; layer < cached.Cache.Layers; layer++)
        {
            cached.Cache.Keys(layer).Span<float>().Fill(float.NaN);   // a column that nobody wrote must not be read
            cached.Cache.Values(layer).Span<float>().Fill(float.NaN);
        }
        SampleBatch batch = new(Rows, PromptTokens, NewTokens);
        for (int row = 0; row < Rows; row++) batch.Add(_rows[row].AsSpan(0, Prompts[row]), NewTokens, row);
        cached.Prefill(batch, isBidirectional ? CacheLayout.Prompt : CacheLayout.Sequence);
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
