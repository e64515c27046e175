"""A hundred texts that would run a script if a page took them for more than text (after OWASP's evasion cheat sheet).

Each calls ``pwned()``, which a test defines to tell of it.
"""

from typing import Final

_CALLS: Final = ("pwned()", "window['pwned']()", "self.pwned&&pwned()", "top.pwned()", "pwned`1`")
_SHAPES: Final = (
    "<script>{0}</script>",
    "<SCRIPT SRC=data:text/javascript,{0}></SCRIPT>",
    '"><script>{0}</script>',
    "'><script>{0}</script>",
    "</title><script>{0}</script>",
    "</textarea><script>{0}</script>",
    "</script><script>{0}</script>",
    "--><script>{0}</script>",
    "]]><script>{0}</script>",
    "<img src=x onerror={0}>",
    "<img src=x onerror='{0}'",
    '"><img/src/onerror={0}>',
    '" autofocus onfocus={0} x="',
    "' onmouseover='{0}' autofocus tabindex=1 onfocus='{0}",
    "<svg onload={0}>",
    "<svg><script>{0}</script></svg>",
    "<body onload={0}>",
    '<iframe srcdoc="<script>parent.{0}</script>">',
    "<details open ontoggle={0}>",
    "javascript:{0}",
)
PAYLOADS: Final = tuple(shape.format(call) for shape in _SHAPES for call in _CALLS)
"""Twenty shapes, five ways to call."""
MORE: Final = (
    "{{{{ ''.__class__ }}}}{{% for x in pwned() %}}",
    "hx-on:load=pwned()",
    "<div hx-get='javascript:pwned()' hx-trigger='load'>",
    "<div data-hx-on:load='pwned()'>",
    "\u003cscript\u003epwned()\u003c/script\u003e",
    "\uff1cscript\uff1epwned()\uff1c/script\uff1e",
    "%3Cscript%3Epwned()%3C/script%3E",
    "&lt;script&gt;pwned()&lt;/script&gt;",
)
"""What templates, HTMX and double decoding would fall for."""
EVERY: Final = (*PAYLOADS, *MORE)
