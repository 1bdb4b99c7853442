using AwqQuantize.Engine.Tokenization.Unicode;

namespace AwqQuantize.Engine.Tokenization.Patterns;

/// <summary>One character out of a set.</summary>
internal sealed record SetNode : PatternNode
{
    public bool Negated { get; init; }

    /// <summary>The set is the union of these.</summary>
    public required IReadOnlyList<SetItem> Items { get; init; }

    /// <summary>What the union is intersected with (<c>&amp;&amp;</c>).</summary>
    public IReadOnlyList<SetNode> Intersected { get; init; } = [];

    public static SetNode Of(int codePoint) => new() { Items = [new RangeItem(codePoint, codePoint)] };

    /// <summary>The code points in the set.</summary>
    public CodePointSet Resolve()
    {
        CodePointSet set = CodePointSet.Of(Items.SelectMany(item => item.Resolve().Ranges));
        foreach (SetNode other in Intersected)
        {
            set = set.Intersect(other.Resolve());
        }

        return Negated ? set.Complement() : set;
    }

    public bool Equals(SetNode? other) => ReferenceEquals(this, other);

    public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
}

/// <summary>A member of a set's union.</summary>
internal abstract record SetItem
{
    public abstract CodePointSet Resolve();
}

internal sealed record RangeItem(int First, int Last) : SetItem
{
    public override CodePointSet Resolve() => CodePointSet.Range(First, Last);
}

/// <summary>A general category, or a major one such as <c>L</c>, by the name that .NET and Oniguruma share.</summary>
internal sealed record CategoryItem(string Name, bool Negated) : SetItem
{
    public override CodePointSet Resolve()
    {
        CodePointSet set = GeneralCategories.Find(Name)!;
        return Negated ? set.Complement() : set;
    }
}

/// <summary>White space, on whose members .NET and Oniguruma agree.</summary>
internal sealed record WhiteSpaceItem(bool Negated) : SetItem
{
    public override CodePointSet Resolve()
    {
        CodePointSet set = UnicodeTables.Find(@"onig:\s")!;
        return Negated ? set.Complement() : set;
    }
}

/// <summary>A set that .NET has no name for.</summary>
internal sealed record TableItem(CodePointSet Set, bool Negated) : SetItem
{
    public override CodePointSet Resolve() => Negated ? Set.Complement() : Set;
}

internal sealed record NestedItem(SetNode Inner) : SetItem
{
    public override CodePointSet Resolve() => Inner.Resolve();
}
