using QSharp.Engine;
using QSharp.Kernels;
using QSharp.Model;

using Xunit;

namespace QSharp.Tests.Model;

/// <summary>What a guide has to beat.</summary>
public class ConstantLossTests
{
    /// <summary>Each in the units of its loss: the loss itself of outputs that all say the mean label, below that of any other constant.</summary>
    [Fact]
    public void A_constants_loss_is_that_of_always_saying_the_mean_label()
    {
        using CpuDevice device = new(1);
        Ops ops = Ops.For(device);
        float[] returns = [1, 0, 0.3f, 0.9f, 1], weights = [0.1f, 0.2f, 0.2f, 0.4f, 0.1f];
        Prediction[] labels = [.. returns.Zip(weights, (value, weight) => new Prediction(0.5f, value, weight, 0))];
        double mean = labels.Sum(label => label.Weight * (double)label.Return);
        double[] binary = [Math.Log(mean / (1 - mean))];
        ReturnFamily thirds = ReturnFamily.Categorical(0, 1, 4);
        // 0.3 and 0.9 lie between the thirds 0 and 1, and 2 and 3.
        double[] twoHot = [Math.Log(0.2 + 0.2 * 0.1), Math.Log(0.2 * 0.9), Math.Log(0.4 * 0.3), Math.Log(0.2 + 0.4 * 0.7)], nearest = [Math.Log(0.2), Math.Log(0.2), -50, Math.Log(0.6)];
        foreach ((Method method, double[] best) in new (Method, double[])[]
        {
            (new QSharpMethod(ReturnFamily.Bernoulli), binary), (new ControlledDecodingMethod(), binary), (new QSharpMethod(thirds), twoHot),
            (new QSharpMethod(thirds, Projection.Nearest), nearest),
        })
        {
            Assert.Equal(Loss(method, best), method.ConstantLoss(labels)!.Value, 1e-6);
            for (int i = 0; i < best.Length; i++) Assert.True(Loss(method, [.. best.Select((logit, j) => j == i ? logit + 0.2 : logit)]) >= Loss(method, best));
        }
        Assert.Equal(0.25, new ControlledDecodingMethod().ConstantLoss([new(0, 1, 0.5f, 0), new(0, 0, 0.5f, 0)])!.Value, 1e-9);
        Assert.Null(new SinkhornMethod(thirds, 1, 1).ConstantLoss(labels));

        double Loss(Method method, double[] logits)
        {
            (Tensor[] tensors, DeviceBuffer memory) = Arena.Build(device, arena => (Tensor[])[arena.Take((5, logits.Length)), arena.Take(5), arena.Take(5), arena.Take(5)]);
            using (memory)
            {
                TensorValues.Write([.. Enumerable.Range(0, 5 * logits.Length).Select(i => (float)logits[i % logits.Length])], tensors[0]);
                TensorValues.Write(returns, tensors[1]);
                TensorValues.Write(weights, tensors[2]);
                Tensor outputs = method is ControlledDecodingMethod ? tensors[0].As(5) : tensors[0];
                method.LossAndGradient(ops, new LossTargets(Tensor.None, tensors[1], tensors[2]), outputs, tensors[3]);
                return TensorValues.Read(tensors[3]).Sum(loss => (double)loss);
            }
        }
    }
}
