namespace QSharp.Kernels;

/// <summary>What the new tokens of a row see in the cache, besides the columns that were there before.</summary>
public enum CacheLayout
{
    /// <summary>Each the new tokens up to itself: text that goes on.</summary>
    Sequence,

    /// <summary>Each all the new tokens: a prompt that is read in both directions.</summary>
    Prompt,

    /// <summary>Each only itself: candidates for one and the same position.</summary>
    Siblings,
}
