using System.Diagnostics;

using QSharp.Engine;

using Xunit;

namespace QSharp.Tests.Engine;

public sealed unsafe class WorkersTests
{
    private static readonly TimeSpan _patience = TimeSpan.FromSeconds(120);

    public static TheoryData<int, int, int> Sizes()
    {
        TheoryData<int, int, int> data = [];
        foreach (int threads in new[] { 1, 2, 3, 8 })
            foreach (int items in new[] { 0, 1, 2, 7, 64, 1001 })
                foreach (int grain in new[] { 1, 3, 64, 1000 }) data.Add(threads, items, grain);
        return data;
    }

    [Theory, MemberData(nameof(Sizes))]
    public void Every_item_is_done_exactly_once(int threads, int items, int grain)
    {
        using Workers workers = new(threads);
        int[] counts = new int[items + 2];
        fixed (int* first = counts)
        {
            workers.For(items, grain, new Count(first + 1, items, threads));
        }
        Assert.Equal([0, .. Enumerable.Repeat(1, items), 0], counts);
    }

    [Fact]
    public void Item_numbers_do_not_overflow()
    {
        using Workers workers = new(4);
        long sum = 0;
        workers.For(int.MaxValue, 1 << 30, new SumLengths(&sum));
        Assert.Equal(int.MaxValue, sum);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(5)]
    public void An_exception_of_an_item_reaches_the_caller_and_the_team_goes_on(int threads)
    {
        using Workers workers = new(threads);
        for (int round = 0; round < 20; round++)
        {
            FormatException error = Assert.Throws<FormatException>(() => workers.For(100, 1, new Fail(round)));
            Assert.Equal($"item {round}", error.Message);
            int sum = 0;
            workers.For(100, 1, new Sum(&sum));
            Assert.Equal(100, sum);
        }
    }

    [Fact]
    public void A_loop_allocates_nothing()
    {
        using Workers workers = new(3);
        int* sum = stackalloc int[1];
        *sum = 0;
        Sum work = new(sum);
        void Loops(int count)
        {
            for (int i = 0; i < count; i++)
            {
                workers.For(20, 1, work);
                if (i % 50 == 0) Thread.Sleep(2);   // so that helpers fall asleep and are woken
            }
        }
        Loops(100);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Loops(200);
        Assert.Equal(0, GC.GetAllocatedBytesForCurrentThread() - before);
        Assert.Equal(300 * 20, *sum);
    }

    /// <summary>With pauses around the time after which helpers go to sleep, where a wake-up could get lost.</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(6)]
    public void Many_quick_loops_do_not_hang(int threads)
    {
        using Workers workers = new(threads);
        int* sum = stackalloc int[1];
        *sum = 0;
        int rounds = 0;
        bool isDone = RunWithin(_patience, () =>
        {
            long end = Stopwatch.GetTimestamp() + Stopwatch.Frequency;
            PhiloxStream random = new(17);
            while (Stopwatch.GetTimestamp() < end)
            {
                workers.For(9, 1, new Sum(sum));
                rounds++;
                int pause = random.NextInt(8);
                if (pause == 0) Thread.Sleep(1);
                else if (pause < 4) Thread.SpinWait(random.NextInt(40_000));
            }
        });
        Assert.True(isDone, "a loop did not end");
        Assert.Equal(9 * rounds, *sum);
    }

    /// <summary>Helpers take about as long as the caller waits before it goes to sleep, where a wake-up could get lost.</summary>
    [Theory]
    [InlineData(2)]
    [InlineData(4)]
    public void A_caller_that_waits_for_slow_helpers_is_woken(int threads)
    {
        using Workers workers = new(threads);
        int* sum = stackalloc int[1];
        *sum = 0;
        int rounds = 0;
        bool isDone = RunWithin(_patience, () =>
        {
            long end = Stopwatch.GetTimestamp() + Stopwatch.Frequency;
            PhiloxStream random = new(18);
            while (Stopwatch.GetTimestamp() < end)
            {
                workers.For(threads, 1, new Linger(sum, random.NextInt(20) == 0 ? -1 : random.NextInt(8_000)));
                rounds++;
            }
        });
        Assert.True(isDone, "a loop did not end");
        Assert.Equal(threads * rounds, *sum);
    }

    [Fact]
    public void Dispose_ends_the_threads()
    {
        Workers workers = new(4);
        HashSet<int> ids = [];
        fixed (int* threads = new int[4])
        {
            // Each item waits until all four threads are in the loop, so that each thread is seen.
            workers.For(4, 1, new Meet(threads, 4));
            for (int i = 0; i < 4; i++) ids.Add(threads[i]);
        }
        Assert.Equal(4, ids.Count);
        Assert.True(RunWithin(_patience, workers.Dispose), "Dispose did not end");
        workers.Dispose();
        Assert.Throws<ObjectDisposedException>(() => workers.For(5, 1, new Fail(-1)));
    }

    [Fact]
    public void Dispose_ends_threads_that_sleep()
    {
        Workers workers = new(3);
        Thread.Sleep(50);
        Assert.True(RunWithin(_patience, workers.Dispose), "Dispose did not end");
    }

    [Fact]
    public void Loops_do_not_nest()
    {
        using Workers workers = new(2);
        using DeviceBox box = new(workers);
        Assert.Throws<InvalidOperationException>(() => workers.For(4, 1, new Nest(box.Handle)));
    }

    [Fact]
    public void A_team_without_threads_and_a_loop_without_grain_are_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new Workers(0));
        using Workers workers = new(1);
        Assert.Throws<ArgumentOutOfRangeException>(() => workers.For(5, 0, new Fail(-1)));
    }

    private static bool RunWithin(TimeSpan time, Action action)
    {
        Thread thread = new(() => action()) { IsBackground = true };
        thread.Start();
        return thread.Join(time);
    }

    private readonly struct Count(int* counts, int items, int threads) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            Assert.InRange(begin, 0, end - 1);
            Assert.InRange(end, 1, items);
            Assert.InRange(worker, 0, threads - 1);
            for (int i = begin; i < end; i++) Interlocked.Increment(ref counts[i]);
        }
    }

    private readonly struct Sum(int* sum) : IWork
    {
        public void Run(int begin, int end, int worker) => Interlocked.Add(ref *sum, end - begin);
    }

    private readonly struct Linger(int* sum, int spins) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            if (worker > 0 && spins < 0) Thread.Sleep(1);
            else if (worker > 0) Thread.SpinWait(spins);
            Interlocked.Add(ref *sum, end - begin);
        }
    }

    private readonly struct SumLengths(long* sum) : IWork
    {
        public void Run(int begin, int end, int worker) => Interlocked.Add(ref *sum, end - begin);
    }

    private readonly struct Fail(int item) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            if (begin <= item && item < end) throw new FormatException($"item {item}");
        }
    }

    private readonly struct Meet(int* threads, int count) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            Volatile.Write(ref threads[worker], Environment.CurrentManagedThreadId);
            SpinWait wait = default;
            for (int i = 0; i < count; i++)
                while (Volatile.Read(ref threads[i]) == 0) wait.SpinOnce();
        }
    }

    private readonly struct Nest(nint team) : IWork
    {
        public void Run(int begin, int end, int worker)
        {
            Workers workers = (Workers)System.Runtime.InteropServices.GCHandle.FromIntPtr(team).Target!;
            int sum = 0;
            workers.For(10, 1, new Sum(&sum));
        }
    }

    /// <summary>Work is unmanaged; a handle lets one reach the team.</summary>
    private sealed class DeviceBox(Workers workers) : IDisposable
    {
        private System.Runtime.InteropServices.GCHandle _handle = System.Runtime.InteropServices.GCHandle.Alloc(workers);

        public nint Handle => System.Runtime.InteropServices.GCHandle.ToIntPtr(_handle);

        public void Dispose() => _handle.Free();
    }
}
