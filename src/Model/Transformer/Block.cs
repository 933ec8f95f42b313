using QSharp.Engine;
using QSharp.Kernels;

namespace QSharp.Model;

/// <summary>
/// One pre-norm block: stream += Out·attention(norm(stream)); stream += Down·mlp(norm(stream)). Backward is forward read
/// upwards. The config's switches are asked in four places; absent biases are None.
/// </summary>
internal sealed class Block(Ops ops, TransformerConfig c, Tensor frequencies)
{
    public void Forward(BlockWeights w, BlockActivations a, Tensor input, TokenBatch batch, Scratch s)
    {
        Normalize(input, w.Norm1, w.Norm1Bias, a.Normed1, a.Stats1);
        ops.MatMul(a.Normed1, w.Qkv, w.QkvBias, c.QkNorm ? a.RawQkv : a.Qkv);
        if (c.QkNorm) ops.HeadNorm(a.RawQkv, w.QueryNorm, w.KeyNorm, c.Heads, c.KvHeads, c.NormEpsilon, a.Qkv, a.HeadStats);
        if (c.Position == Position.Rope) ops.Rope(a.Qkv, c.Heads + c.KvHeads, c.HeadDim, batch.Positions, frequencies, inverse: false);
        ops.Attention(a.Qkv, batch.Spans, c.Heads, c.KvHeads, a.Mixed, a.LogSumExp);
        ops.MatMul(a.Mixed, w.Out, w.OutBias, s.Branch);
        AddNormalize(input, s.Branch, w.Norm2, w.Norm2Bias, a.Middle, a.Normed2, a.Stats2);
        ops.MatMul(a.Normed2, w.Up, w.UpBias, a.Up);
        Activate(a.Up, a.Activated);
        ops.MatMul(a.Activated, w.Down, w.DownBias, s.Branch);
        ops.Add(a.Middle, s.Branch, a.Output);
    }

    /// <summary><see cref="Scratch.DStream"/> holds the gradient of the output on entry and that of the input on return; both branches add into it.</summary>
    public void Backward(BlockWeights w, BlockWeights d, BlockActivations a, Tensor input, TokenBatch batch, Scratch s)
    {
        ops.MatMulBackward(s.DStream, a.Activated, w.Down, s.DActivated, d.Down, d.DownBias);
        if (c.Mlp == Mlp.SwiGlu) ops.SwiGluBackward(s.DActivated, a.Up, s.DUp);
        else ops.GeluBackward(s.DActivated, a.Up, s.DUp);
        ops.MatMulBackward(s.DUp, a.Normed2, w.Up, s.DWide, d.Up, d.UpBias);
        NormalizeBackward(s.DWide, a.Middle, w.Norm2, a.Stats2, s.DStream, d.Norm2, d.Norm2Bias);

        ops.MatMulBackward(s.DStream, a.Mixed, w.Out, s.DMixed, d.Out, d.OutBias);
        ops.AttentionBackward(s.DMixed, a.Qkv, batch.Spans, c.Heads, c.KvHeads, a.Mixed, a.LogSumExp, s.DQkv);
        if (c.Position == Position.Rope) ops.Rope(s.DQkv, c.Heads + c.KvHeads, c.HeadDim, batch.Positions, frequencies, inverse: true);
        if (c.QkNorm) ops.HeadNormBackward(s.DQkv, a.RawQkv, w.QueryNorm, w.KeyNorm, a.HeadStats, c.Heads, c.KvHeads, s.DQkv, d.QueryNorm, d.KeyNorm);
        ops.MatMulBackward(s.DQkv, a.Normed1, w.Qkv, s.DWide, d.Qkv, d.QkvBias);
        NormalizeBackward(s.DWide, input, w.Norm1, a.Stats1, s.DStream, d.Norm1, d.Norm1Bias);
    }

    /// <summary>The same block for new tokens after cached ones; the stream is updated in place.</summary>
    public void Extend(BlockWeights w, Tensor stream, Tensor counts, KvCache cache, int layer, CacheLayout layout, StepBuffers b)
    {
        Tensor keys = cache.Keys(layer), values = cache.Values(layer);
        Normalize(stream, w.Norm1, w.Norm1Bias, b.Normed, b.Stats);
        ops.MatMul(b.Normed, w.Qkv, w.QkvBias, b.Qkv);
        if (c.QkNorm) ops.HeadNorm(b.Qkv, w.QueryNorm, w.KeyNorm, c.Heads, c.KvHeads, c.NormEpsilon, b.Qkv, b.HeadStats);
        Tensor positions = c.Position == Position.Rope ? b.Positions : Tensor.None;
        ops.KvWrite(b.Qkv, c.Heads, c.KvHeads, positions, frequencies, cache.Lengths, counts, keys, values);
        ops.CachedAttention(b.Qkv, cache.PromptsAt(layer), keys, values, cache.Lengths, counts, c.Heads, c.KvHeads, layout, b.Mixed);
        ops.MatMul(b.Mixed, w.Out, w.OutBias, b.Branch);
        AddNormalize(stream, b.Branch, w.Norm2, w.Norm2Bias, stream, b.Normed, b.Stats);
        ops.MatMul(b.Normed, w.Up, w.UpBias, b.Up);
        Activate(b.Up, b.Activated);
        ops.MatMul(b.Activated, w.Down, w.DownBias, b.Branch);
        ops.Add(stream, b.Branch, stream);
    }

    public void Normalize(Tensor x, Tensor weight, Tensor bias, Tensor y, Tensor stats)
    {
        if (c.Norm == Norm.LayerNorm) ops.LayerNorm(x, weight, bias, c.NormEpsilon, y, stats);
        else ops.RmsNorm(x, weight, c.NormEpsilon, y, stats);
    }

    private void AddNormalize(Tensor stream, Tensor branch, Tensor weight, Tensor bias, Tensor sum, Tensor y, Tensor stats)
    {
        if (c.Norm == Norm.LayerNorm) ops.AddLayerNorm(stream, branch, weight, bias, c.NormEpsilon, sum, y, stats);
        else ops.AddRmsNorm(stream, branch, weight, c.NormEpsilon, sum, y, stats);
    }

    public void NormalizeBackward(Tensor dy, Tensor x, Tensor weight, Tensor stats, Tensor dx, Tensor dWeight, Tensor dBias)
    {
        if (c.Norm == Norm.LayerNorm) ops.LayerNormBackward(dy, x, weight, stats, dx, dWeight, dBias);
        else ops.RmsNormBackward(dy, x, weight, stats, dx, dWeight);
    }

    private void Activate(Tensor up, Tensor activated)
    {
        if (c.Mlp == Mlp.SwiGlu) ops.SwiGlu(up, activated);
        else ops.Gelu(up, activated);
    }
}
