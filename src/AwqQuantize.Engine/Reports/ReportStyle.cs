namespace AwqQuantize.Engine.Reports;

/// <summary>The report's style sheet.</summary>
internal static class ReportStyle
{
    public const string Css = """

        :root { --paper: #fcfcfa; --ink: #1d2126; --soft: #5c6670; --rule: #dcdfe3; --card: #ffffff; --bad: #b3261e; --warn: #8a5a00; --good: #1b6e3c;
          --c0: #2563a8; --c1: #b4530b; --c2: #1b7f5c; --c3: #8b3fa0; --c4: #a3262f; --c5: #5f6b1e; --c6: #0f7c8a; --c7: #6b5b4d; }
        @media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e8ea; --soft: #9aa4ad; --rule: #32383e; --card: #1c2024; --bad: #ff8a80; --warn: #f2c063; --good: #7fd6a0;
          --c0: #79b0ee; --c1: #f0a35e; --c2: #6fd0ab; --c3: #cf96e0; --c4: #f2868d; --c5: #c3cf74; --c6: #6fd3df; --c7: #c2b09f; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
        main { max-width: 74rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
        h1 { font-size: 1.9rem; margin: 0 0 1.2rem; overflow-wrap: anywhere; } h1 small { color: var(--soft); font-weight: 400; font-size: 1.1rem; }
        h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; } h3 { font-size: 1rem; margin: .8rem 0 .2rem; }
        .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .8rem; }
        .card { background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .7rem .9rem; display: flex; flex-direction: column; }
        .card span, .card small, figcaption p, .none { color: var(--soft); } .card b { font-size: 1.35rem; }
        .warnings { border-left: 4px solid var(--warn); padding: .1rem 1rem; margin-top: 1.5rem; background: var(--card); } .warnings h2 { margin-top: .6rem; }
        .charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1.2rem; margin-top: 1.6rem; }
        figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: .5rem; padding: .6rem 1rem; }
        figcaption p { margin: 0 0 .4rem; font-size: .85rem; } figure h3 { margin-top: 0; }
        svg { width: 100%; height: auto; display: block; }
        .c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); } .c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
        .legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .78rem; margin: .3rem 0; } .legend i { display: inline-block; width: .9em; height: .9em; border-radius: 2px; background: currentColor; margin-right: .35em; vertical-align: -.1em; }
        table { border-collapse: collapse; width: 100%; font-size: .9rem; } th { text-align: left; color: var(--soft); font-weight: 600; } th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--rule); vertical-align: top; overflow-wrap: break-word; } @media screen { section { overflow-x: auto; } } tr > :last-child { padding-right: 0; overflow-wrap: anywhere; min-width: 8rem; }
        td.n { font-variant-numeric: tabular-nums; } th.n, td.n { text-align: right; } .failed b { color: var(--bad); } .warning b { color: var(--warn); } .passed b { color: var(--good); } .notrun { color: var(--soft); }
        pre { background: var(--card); border: 1px solid var(--rule); border-radius: .4rem; padding: .7rem .9rem; overflow-x: auto; white-space: pre-wrap; } blockquote { margin: 0; padding: .6rem 1rem; border-left: 4px solid var(--rule); white-space: pre-wrap; }
        @media print { :root { --paper: #fff; --ink: #000; --soft: #444; --rule: #bbb; --card: #fff; --bad: #b3261e; --warn: #8a5a00; --good: #1b6e3c; --c0: #2563a8; --c1: #b4530b; --c2: #1b7f5c; --c3: #8b3fa0; --c4: #a3262f; --c5: #5f6b1e; --c6: #0f7c8a; --c7: #6b5b4d; }
          body { font-size: 10pt; } main { max-width: none; padding: 0; } .charts { grid-template-columns: 1fr 1fr; } figure, tr, .card { break-inside: avoid; } h2, h3 { break-after: avoid; } }

        """;
}
