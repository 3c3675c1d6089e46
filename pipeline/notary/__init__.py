"""Apple's notary (App Store Connect Notary API v2): submit an archive, wait, read the log; nothing lost, nothing sent twice.

Four thin layers: `service` (who may be talked to), `client` and `upload` (endpoints and shapes), `steps` (what comes
after what, and what a kill leaves), `wait` (how long). `log` reads what Apple's scanner says.
"""

from pipeline.notary.service import APPLE, NotaryCredentials, NotaryService

__all__ = ["APPLE", "NotaryCredentials", "NotaryService"]
