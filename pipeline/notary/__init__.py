"""Apple's notary (App Store Connect Notary API v2): submit, wait, read the log; nothing lost, nothing sent twice.

Thin layers: `service` (who may be talked to), `client` and `object_store` (endpoints and shapes), `steps` and `upload`
(what comes after what, and what a kill leaves), `verdicts` and `waiting` (how long). `tool` and `tool_steps` are the
same through Apple's notarytool. `submission` is what is on disk; `log` and `report` read what Apple's scanner says,
`proof` joins it to what was signed.
"""

from pipeline.notary.credentials import (
    check_credentials,
    delete_credentials,
    kept_in,
    list_profiles,
    load_credentials,
    parse_credentials,
    store_credentials,
)
from pipeline.notary.log import Issue, NotaryLog, TicketEntry, build_log, parse_log
from pipeline.notary.proof import Unlisted, unlisted, verify_listed
from pipeline.notary.report import describe_log, describe_submission
from pipeline.notary.service import APPLE, NotaryCredentials, NotaryService
from pipeline.notary.submission import Abandoned, Archive, Records, State, Submission
from pipeline.notary.tool import KeychainProfile, KeyFile, NotaryTool
from pipeline.notary.verdicts import Mode, Verdict, notarize, notarize_with_tool
from pipeline.notary.waiting import APPLE_POLICY, REHEARSAL_POLICY, Schedule, WaitPolicy
from pipeline.notary.wire import NotaryStatus

__all__ = [
    "APPLE",
    "APPLE_POLICY",
    "REHEARSAL_POLICY",
    "Abandoned",
    "Archive",
    "Issue",
    "KeyFile",
    "KeychainProfile",
    "Mode",
    "NotaryCredentials",
    "NotaryLog",
    "NotaryService",
    "NotaryStatus",
    "NotaryTool",
    "Records",
    "Schedule",
    "State",
    "Submission",
    "TicketEntry",
    "Unlisted",
    "Verdict",
    "WaitPolicy",
    "build_log",
    "check_credentials",
    "delete_credentials",
    "describe_log",
    "describe_submission",
    "kept_in",
    "list_profiles",
    "load_credentials",
    "notarize",
    "notarize_with_tool",
    "parse_credentials",
    "parse_log",
    "store_credentials",
    "unlisted",
    "verify_listed",
]
