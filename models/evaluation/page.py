"""The report as one HTML file that needs nothing else: no script, no font, no address of anything outside itself."""

from collections.abc import Iterable
from html import escape
from typing import Final

from models.evaluation import figures
from models.evaluation.document import Block, Heading, Paragraph, Picture, Table, Verbatim

_STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;color:#1b1f23;max-width:72rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.7rem}h2{font-size:1.3rem;border-bottom:1px solid #ccd;margin-top:2.5rem}
h3{font-size:1.1rem;margin-top:2rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.3rem 0}th,td{border:1px solid #ccd;padding:.25rem .5rem;
text-align:left;vertical-align:top}th{background:#f2f4f8}.warning{border-left:4px solid #d55e00;background:#fdf3ec;
padding:.5rem .8rem}
figure{display:inline-block;margin:1rem 1.5rem 1rem 0}figcaption{font-weight:600}figure svg{max-width:100%;height:auto}
pre{white-space:pre-wrap;background:#f6f7f9;padding:1rem}@media print{body{max-width:none}h2{break-before:page}}
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html(title: str, blocks: Iterable[Block]) -> str:
    """The whole file."""
    body = "\n".join(_block(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text, is_warning):
            kind = ' class="warning" role="note"' if is_warning else ""
            return f"<p{kind}>{escape(text)}</p>"
        case Table():
            return _table(block)
        case Picture(caption, figure):
            words = escape(caption)
            drawn = figures.svg(figure)
            return f'<figure role="img" aria-label="{words}">{drawn}<figcaption>{words}</figcaption></figure>'
        case Verbatim(text):
            return f"<pre>{escape(text)}</pre>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    rows = "\n".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return (
        f'<div class="scroll"><table><caption>{escape(table.caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )
