using QSharp.Engine;
using QSharp.Model;

namespace QSharp.Cli.Speed;

/// <summary>Rows of random tokens, all as long as may be, every token but the first with a loss.</summary>
internal sealed class RandomRows(int time, int vocabulary, bool readsAtToken) : IBatchSource
{
    public int Time => time;

    public int LossesPerRow => time - 1;

    public void Fill(int step, TrainBatch batch)
    {
        for (int row = 0; row < batch.Rows; row++)
            batch.SetRow(row, Draw(time, vocabulary, (uint)(step * batch.Rows + row)), firstLoss: 1, bidirectional: 0, readsAtToken, rowReturn: row % 2, 1f / batch.Rows);
    }

    public static int[] Draw(int count, int vocabulary, uint stream)
    {
        int[] tokens = new int[count];
        for (int i = 0; i < count; i++) tokens[i] = (int)(Philox.Block(stream, (uint)i, 0, 0, 0).X0 % (uint)vocabulary);
        return tokens;
    }
}
