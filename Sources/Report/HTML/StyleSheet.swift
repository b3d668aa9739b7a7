/// How the page looks: colours of Okabe and Ito's palette, which people with any colour vision tell apart, darkened on white and
/// lightened on black until each has the contrast that graphics need (WCAG 2.2, 1.4.11); text has that of 1.4.3.
enum StyleSheet {
  private static let light = """
    --bg:#fbfbf9;--panel:#fff;--ink:#1a1d21;--soft:#555c66;--rule:#d9dce0;--grid:#e6e8eb;--link:#0a5a8c;\
    --warn:#8a3800;--warnbg:#fdf1e4;--good:#00573f;--goodbg:#e6f4ef;\
    --c0:#59626f;--c1:#0072b2;--c2:#cc5200;--c3:#00805d;--c4:#b24a82;--c5:#9c6700;--c6:#2f8cc4;--c7:#6f4bb8
    """

  private static let dark = """
    --bg:#121519;--panel:#191d22;--ink:#e8eaed;--soft:#a7aeb8;--rule:#343a42;--grid:#282d34;--link:#7cc4f0;\
    --warn:#ffb27a;--warnbg:#33241a;--good:#74d6b4;--goodbg:#16302a;\
    --c0:#aeb6c2;--c1:#4ba6e3;--c2:#f28444;--c3:#2fbe94;--c4:#e08fbd;--c5:#e6a522;--c6:#8acdf4;--c7:#b9a3f2
    """

  static var text: String {
    var text = ":root{color-scheme:light dark;"
    text += light
    text += "}\n@media (prefers-color-scheme:dark){:root{"
    text += dark
    text += "}}\n@media print{:root{color-scheme:light;"
    text += light
    text += ";--bg:#fff}}\n"
    text += rules
    return text
  }

  private static let rules = """
    *{box-sizing:border-box}
    html{-webkit-text-size-adjust:100%;text-size-adjust:100%;scroll-behavior:auto}
    body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;overflow-wrap:break-word}
    main,header,footer{max-width:62rem;margin:0 auto;padding:0 clamp(1rem,4vw,2.5rem)}
    header{padding-top:clamp(1.75rem,5vw,3.5rem)}
    .eyebrow{margin:0 0 .4rem;font-size:.8125rem;font-weight:600;letter-spacing:.09em;text-transform:uppercase;color:var(--soft)}
    h1{margin:0 0 .75rem;font-size:clamp(1.65rem,1.2rem + 2vw,2.5rem);line-height:1.18;letter-spacing:-.015em;font-weight:680;text-wrap:balance}
    h2{margin:0 0 .5rem;font-size:1.45rem;line-height:1.25;letter-spacing:-.01em;font-weight:660}
    h3{margin:2rem 0 .35rem;font-size:1.08rem;line-height:1.35;font-weight:640}
    p{margin:.5rem 0 .9rem;max-width:44rem}
    section{margin-top:2.75rem;padding-top:1.5rem;border-top:1px solid var(--rule)}
    a{color:var(--link);text-underline-offset:.15em}
    .meta{color:var(--soft);font-size:.9375rem}
    nav{margin:1.1rem 0 0;font-size:.9375rem}
    nav ul{display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;list-style:none;margin:0;padding:0}
    nav li{margin:0}
    nav a{display:inline-block;padding:.15rem 0}
    ul,ol{padding-left:1.25rem;max-width:44rem}
    li{margin:.3rem 0}
    .lead p{font-size:1.15rem;line-height:1.55}
    .tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,12.5rem),1fr));gap:.75rem;margin:1.4rem 0;padding:0;max-width:none;list-style:none}
    .tiles li{margin:0;padding:.85rem 1rem .8rem;background:var(--panel);border:1px solid var(--rule);border-top:4px solid var(--c);border-radius:6px}
    .tiles b{display:block;font-size:1.6rem;line-height:1.25;font-weight:640;font-variant-numeric:tabular-nums;letter-spacing:-.01em}
    .tiles span{display:block;font-size:.875rem;line-height:1.4;color:var(--soft)}
    .tiles .who{color:var(--ink);font-weight:560}
    aside{margin:1.25rem 0;padding:.8rem 1.1rem;background:var(--warnbg);border-left:4px solid var(--warn);border-radius:0 6px 6px 0}
    aside h3{margin:.1rem 0 .3rem;color:var(--warn)}
    aside ul{margin:.2rem 0}
    figure{margin:1.4rem 0;padding:1.1rem clamp(.8rem,2vw,1.4rem) .9rem;background:var(--panel);border:1px solid var(--rule);border-radius:8px}
    figcaption{margin-bottom:.9rem;font-size:.9375rem;line-height:1.5;color:var(--soft);max-width:48rem}
    figcaption b{color:var(--ink);font-weight:640}
    .plot{padding:.2rem 1.2rem 3rem .3rem;container-type:inline-size}
    .plot.y{padding:1.6rem 1.2rem 3rem 3.1rem}
    .plot.w{padding:.2rem 1rem 3rem 8.1rem}
    .plot svg{display:block;overflow:visible;font-size:13px}
    .panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:.4rem 1.6rem}
    .panels h3{margin:.6rem 0 .5rem;font-size:1rem}
    .legend{display:flex;flex-wrap:wrap;gap:.25rem 1.2rem;list-style:none;margin:0 0 .9rem;padding:0;font-size:.875rem;max-width:none}
    .legend li{margin:0;display:flex;align-items:center;gap:.5rem}
    .swatch{flex:none;width:1.9rem;height:0;border-top:3px solid var(--c)}
    .swatch.d1,.swatch.l2{border-top-style:dashed}.swatch.d2,.swatch.l1{border-top-style:dotted}.swatch.l0{border-top-width:1px}
    .key{flex:none;width:1.2rem;height:.7rem;background:var(--c0);border:1px solid var(--c0)}
    .key.part2{background:transparent}
    svg text{fill:var(--ink)}
    svg .tick,svg .axis,svg .note{fill:var(--soft);font-size:12px;text-anchor:middle;font-variant-numeric:tabular-nums}
    svg .left,svg .value,svg .phase,svg .end{text-anchor:end}
    svg .note{text-anchor:start}
    svg .label{font-weight:600}
    svg .value,svg .number{font-variant-numeric:tabular-nums}
    svg .number,svg .phase{font-size:12px}
    svg .inside{fill:var(--panel)}
    svg .number:not(.inside),svg .label,svg .value{paint-order:stroke;stroke:var(--panel);stroke-width:4px;stroke-linejoin:round}
    .grid{stroke:var(--grid)}.minor{stroke-opacity:.55}.rule{stroke:var(--rule)}
    .reference{stroke:var(--soft);stroke-dasharray:2 4}
    .a0{--c:var(--c0)}.a1{--c:var(--c1)}.a2{--c:var(--c2)}.a3{--c:var(--c3)}.a4{--c:var(--c4)}.a5{--c:var(--c5)}.a6{--c:var(--c6)}.a7{--c:var(--c7)}
    .dot{fill:var(--c);fill-opacity:.5}
    .shape{fill:var(--c);fill-opacity:.2;stroke:var(--c);stroke-width:1.2}
    .interval{fill:var(--c)}
    .median{stroke:var(--ink);stroke-width:2.5}
    .bar,.part1{fill:var(--c)}
    .part2{fill:var(--c);fill-opacity:.22;stroke:var(--c);stroke-width:1}
    .curve{fill:none;stroke:var(--c);stroke-width:2.2;stroke-linejoin:round}
    .curve.d1{stroke-dasharray:8 4}.curve.d2{stroke-dasharray:2 3}
    .l0{stroke-opacity:.4;stroke-width:1.4}.l1{stroke-opacity:.65;stroke-width:1.8;stroke-dasharray:2 3}.l2{stroke-opacity:.85;stroke-dasharray:8 4}.l3{stroke-width:2.8}
    .mark{fill:var(--c);stroke:var(--panel);stroke-width:1.5}
    @container (max-width:34rem){svg .wide{display:none}}
    .scroll{overflow-x:auto;margin:1rem 0;border:1px solid var(--rule);border-radius:8px;background:var(--panel)}
    .scroll:focus-visible,summary:focus-visible,a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
    table{border-collapse:collapse;width:100%;font-size:.9rem;line-height:1.45}
    caption{padding:.75rem .9rem .55rem;text-align:left;color:var(--soft)}
    caption b{color:var(--ink);font-weight:640}
    th,td{padding:.45rem .7rem;text-align:left;vertical-align:top;border-top:1px solid var(--rule)}
    thead th{color:var(--soft);font-weight:600;font-size:.8125rem;vertical-align:bottom}
    tbody th{font-weight:560;min-width:9rem}
    .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
    thead .n{white-space:normal}
    td strong{font-weight:680}
    .facts th{width:30%}
    .facts td{overflow-wrap:anywhere}
    .see{margin:.6rem 0 .2rem;font-size:.9375rem}
    details{margin:.6rem 0 .2rem;font-size:.9375rem}
    summary{cursor:pointer;color:var(--link);padding:.3rem 0}
    .matrix th[scope=row]{width:26%}
    .matrix td{overflow-wrap:anywhere}
    td.shared{background:var(--warnbg);box-shadow:inset 3px 0 0 var(--warn)}
    .chip{display:inline-block;margin:.1rem 0 .1rem;padding:0 .45rem;border:1px solid;border-radius:999px;font-size:.75rem;line-height:1.5;font-weight:600;white-space:nowrap}
    .shared .chip,.chip.shared{color:var(--warn)}
    .differs .chip,.chip.differs{color:var(--good)}
    .same .chip,.chip.same{color:var(--soft);border-style:dashed}
    .unknown{color:var(--soft);font-style:italic}
    .why{display:block;margin-top:.3rem;font-weight:400;font-size:.8125rem;color:var(--soft)}
    pre{margin:.6rem 0;padding:.7rem .9rem;background:var(--panel);border:1px solid var(--rule);border-radius:6px;font:.8438rem/1.55 ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
    code{font:.92em ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;overflow-wrap:anywhere}
    dl{max-width:44rem}dt{margin-top:.8rem;font-weight:640}dd{margin:.1rem 0 0}
    footer{margin-top:3rem;padding-top:1.2rem;padding-bottom:3rem;color:var(--soft);font-size:.875rem}
    @media (max-width:44rem){
    .matrix,.matrix tbody,.matrix tr,.matrix th[scope=row],.matrix td,.matrix caption{display:block;width:auto}
    .matrix thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
    .matrix tr{border-top:1px solid var(--rule);padding:.5rem 0}
    .matrix th[scope=row],.matrix td{border:0;padding:.35rem .9rem}
    .matrix td::before{content:attr(data-side);display:block;font-size:.75rem;font-weight:600;font-style:normal;color:var(--soft)}
    .plot.w{padding-left:7.4rem}
    th,td{padding:.4rem .6rem}
    .tiles{grid-template-columns:1fr 1fr}
    .tiles b{font-size:1.3rem}
    .tiles li{padding:.65rem .75rem}
    }
    @media print{
    @page{margin:16mm 14mm}
    body{font-size:10pt}
    *{print-color-adjust:exact;-webkit-print-color-adjust:exact}
    main,header,footer{max-width:none;padding-left:0;padding-right:0}
    nav,summary,.see{display:none}
    details::details-content{content-visibility:visible;block-size:auto}
    h2,h3,figcaption,caption{break-after:avoid}
    figure,tr,.tiles li,aside{break-inside:avoid}
    figure.long{break-inside:auto}
    .scroll{overflow:visible}
    th,td{padding:.25rem .4rem}
    table{font-size:8.5pt}
    tbody th{min-width:0}
    a{color:inherit;text-decoration:none}
    }
    """
}
