"""report.html: one page about one release, for people. It proves nothing: it shows what `audit` judged.

`page` puts it together, `sections` and `timeline` are its parts, `markup` keeps hostile texts inert, `style.css` is its
whole appearance. No script, nothing from a network: the page's own policy forbids both.
"""

from pipeline.report.page import Facts, Finding, build, generator_of

__all__ = ["Facts", "Finding", "build", "generator_of"]
