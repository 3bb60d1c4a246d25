"""Style sheet of a report; the paper (A4 or Letter) is chosen when it is printed."""

from __future__ import annotations

from typing import Final

__all__ = ["STYLE"]

STYLE: Final = """
@page{margin:12mm 12mm 14mm;
@bottom-left{content:"Not a medical device. For research and teaching only.";font:7pt sans-serif;color:#555}
@bottom-right{content:counter(page) " / " counter(pages);font:7pt sans-serif;color:#555}}
*{box-sizing:border-box}
body{font:9.5pt/1.35 'DejaVu Sans',Arial,sans-serif;color:#222;background:#fff;max-width:186mm;margin:0 auto}
@media screen{body{padding:8mm 0}}
h1{font-size:17pt;margin:0 0 1mm}h2{font-size:12pt;margin:5mm 0 1.5mm;border-bottom:.3mm solid #888}
h3{font-size:10pt;margin:3mm 0 1mm}h2,h3,h2+p{break-after:avoid}p{margin:0 0 1.5mm}
.warn{color:#a00;font-weight:bold}
table{border-collapse:collapse;width:100%;margin:0 0 2mm;break-inside:avoid}
th,td{padding:.6mm 1.2mm;text-align:right;border-bottom:.1mm solid #ccc;vertical-align:top;overflow-wrap:break-word}
th.l,td.l{text-align:left}thead th{font-weight:bold;border-bottom:.2mm solid #666;overflow-wrap:normal}
thead{display:table-header-group}tr{break-inside:avoid}
.facts th{text-align:left;width:26mm;font-weight:bold}
.facts td{text-align:left;white-space:pre-wrap;overflow-wrap:anywhere}
section{break-inside:avoid}p{break-inside:avoid}
section.long{break-inside:auto}section.page{break-before:page}section.page h2{margin-top:0}
section.flow{break-inside:auto}
.grid{display:grid;grid-template-columns:repeat(4,1fr);gap:2mm}
figure{margin:0;border:.1mm solid #ccc;padding:1mm;break-inside:avoid;font-size:8pt}
figure svg{display:block;margin:0 auto;max-width:100%}
.strip{break-inside:avoid;margin:0 0 1mm}.strip svg{display:block;max-width:100%;height:auto}
.full{break-after:page}.full:last-child{break-after:auto}.full svg{display:block;max-width:100%;height:auto}
code{overflow-wrap:anywhere}ul{margin:0 0 2mm;padding-left:5mm}
svg text{font-family:'DejaVu Sans',Arial,sans-serif;fill:#222}
.c-grid{stroke:#ddd;stroke-width:.15}.c-axis{stroke:#222;stroke-width:.3;fill:none}
.c-range{fill:#9dbbe3}.c-mean{stroke:#123f86;stroke-width:.6}
.c-v{fill:#c4122f}.c-s{fill:#e0922f}.c-o{fill:#8a8a8a}
.k-v,.k-s,.k-o{display:inline-block;width:3mm;height:3mm;margin:0 1mm 0 3mm}
.k-v{background:#c4122f}.k-s{background:#e0922f}.k-o{background:#8a8a8a}
.c-beat{stroke:#111;stroke-width:.35;fill:none}.c-usual{stroke:#bbb;stroke-width:.5;fill:none}
.c-trace{stroke:#111;stroke-width:7.5;fill:none}.c-mark{stroke:#c4122f;stroke-width:.4}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}
"""
