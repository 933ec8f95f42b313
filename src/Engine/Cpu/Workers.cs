using System.Runtime.ExceptionServices;

namespace QSharp.Engine;

/// <summary>One op's work, cut into independent items. A plain struct of pointers and sizes, so that no call allocates.</summary>
public interface IWork
{
    /// <summary>Does items <paramref name="begin"/> … <paramref name="end"/> − 1 as thread <paramref name="worker"/> of the team.</summary>
    void Run(int begin, int end, int worker);
}

/// <summary>
/// A fixed team of threads for loops whose items do not depend on one another. Which thread does which items is not
/// fixed, so results are the same for any number of threads exactly when an item's result does not depend on the cut:
/// reductions across items therefore go over a fixed number of blocks, each an item, added up in order afterwards.
/// </summary>
public sealed unsafe class Workers : IDisposable
{
    // A thread that waits spins for about a tenth of a millisecond (ops follow each other within microseconds), then sleeps: where
    // other programs want the processors too, it would go on to spin in the place of the very thread that it waits for.
    private const int SpinsBeforeSleep = 400;

    private readonly Thread[] _helpers;
    private readonly object _wake = new();   // helpers that sleep wait on its monitor
    private readonly object _done = new();   // and here the caller waits for them
    private delegate*<void*, int, int, int, void> _run;
    private void* _work;
    private int _items;
    private int _grain;
    private long _next;       // 64 bits: each thread takes a grain past the end, which may overflow 32
    private int _ticket;      // number of the current loop; a change tells helpers to start
    private int _open;        // 1 while the current loop may be joined
    private int _joined;      // helpers that are looking at, or working in, a loop
    private int _sleeping;
    private int _isAwaited;   // 1 while the caller sleeps until nobody is in the loop
    private bool _busy;
    private volatile bool _stop;
    private Exception? _failure;

    public Workers(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(threads);
        Threads = threads;
        _helpers = new Thread[threads - 1];
        for (int i = 0; i < _helpers.Length; i++)
        {
            int worker = i + 1;
            _helpers[i] = new Thread(() => Help(worker)) { IsBackground = true, Name = $"qsharp-cpu-{worker}" };
            _helpers[i].Start();
        }
    }

    /// <summary>Threads in the team, the calling one included. Worker numbers run from 0 to this less one.</summary>
    public int Threads { get; }

    /// <summary>
    /// Runs all items and returns when they are done. Threads take <paramref name="grain"/> items at a time: choose it so
    /// that one helping is worth a microsecond or more. Loops do not nest, and one thread at a time may call.
    /// An exception of an item is thrown here as it is, the first one if there are several; other items may still have run.
    /// </summary>
    public void For<T>(int items, int grain, in T work) where T : unmanaged, IWork
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(grain);
        ObjectDisposedException.ThrowIf(_stop, this);
        if (items <= 0) return;
        if (_helpers.Length == 0 || items <= grain)
        {
            work.Run(0, items, 0);
            return;
        }
        if (_busy) throw new InvalidOperationException("Loops of one device do not nest.");
        _busy = true;
        try
        {
            T copy = work;
            _run = &Invoke<T>;
            _work = &copy;
            _items = items;
            _grain = grain;
            _next = 0;
            _failure = null;
            Volatile.Write(ref _open, 1);
            Interlocked.Increment(ref _ticket);
            if (Volatile.Read(ref _sleeping) > 0) WakeAll();
            TakeItems(0);
            // Close the loop, then wait for those who are in it: a helper that the system has not scheduled yet is not missed.
            Interlocked.Exchange(ref _open, 0);
            AwaitHelpers();
            if (_failure is not null) ExceptionDispatchInfo.Throw(_failure);
        }
        finally
        {
            _busy = false;
        }
    }

    public void Dispose()
    {
        if (_stop) return;
        _stop = true;
        Interlocked.Increment(ref _ticket);
        WakeAll();
        foreach (Thread helper in _helpers) helper.Join();
    }

    private static void Invoke<T>(void* work, int begin, int end, int worker) where T : unmanaged, IWork =>
        ((T*)work)->Run(begin, end, worker);

    private void WakeAll()
    {
        lock (_wake) Monitor.PulseAll(_wake);
    }

    private void AwaitHelpers()
    {
        for (int spins = 0; spins < SpinsBeforeSleep; spins++)
        {
            if (Volatile.Read(ref _joined) == 0) return;
            Thread.SpinWait(8);
        }
        lock (_done)
        {
            Interlocked.Exchange(ref _isAwaited, 1);
            while (Volatile.Read(ref _joined) != 0) Monitor.Wait(_done);
            Volatile.Write(ref _isAwaited, 0);
        }
    }

    private void TakeItems(int worker)
    {
        try
        {
            while (true)
            {
                long begin = Interlocked.Add(ref _next, _grain) - _grain;
                if (begin >= _items) return;
                _run(_work, (int)begin, (int)Math.Min(begin + _grain, _items), worker);
            }
        }
        catch (Exception failure)
        {
            Interlocked.CompareExchange(ref _failure, failure, null);
        }
    }

    private void Help(int worker)
    {
        int seen = 0;
        while (true)
        {
            int spins = 0;
            while (Volatile.Read(ref _ticket) == seen && !_stop)
            {
                if (++spins < SpinsBeforeSleep)
                {
                    Thread.SpinWait(8);
                    continue;
                }
                // All sleepers are woken at once: permits of a semaphore could be taken twice by the helper that is first
                // done and asleep again, and the loop would wait for the other one for ever.
                lock (_wake)
                {
                    Interlocked.Increment(ref _sleeping);
                    while (Volatile.Read(ref _ticket) == seen && !_stop) Monitor.Wait(_wake);
                    Interlocked.Decrement(ref _sleeping);
                }
                spins = 0;
            }
            if (_stop) return;
            seen = Volatile.Read(ref _ticket);
            Interlocked.Increment(ref _joined);
            if (Volatile.Read(ref _open) == 1) TakeItems(worker);
            if (Interlocked.Decrement(ref _joined) == 0 && Volatile.Read(ref _isAwaited) == 1)
            {
                lock (_done) Monitor.Pulse(_done);
            }
        }
    }
}
