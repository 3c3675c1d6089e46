"""What may stand in a job: the keys of launchd.plist(5), their types, and those that launchd ignores. Data alone."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Type(StrEnum):
    """The type of a value, as messages say it."""

    BOOLEAN = "true or false"
    TEXT = "a text"
    INTEGER = "a whole number"
    TEXTS = "a list of texts"
    DICTIONARY = "a dictionary"
    DICTIONARIES = "a list of dictionaries"
    TEXTS_BY_NAME = "a dictionary of texts"
    NUMBERS_BY_NAME = "a dictionary of whole numbers"


_BOOLEANS = (
    "Disabled EnableGlobbing EnableTransactions EnablePressuredExit RunAtLoad InitGroups StartOnMount Debug "
    "WaitForDebugger AbandonProcessGroup LowPriorityIO LowPriorityBackgroundIO MaterializeDatalessFiles LaunchOnlyOnce "
    "SessionCreate LegacyTimers OnDemand ServiceIPC HopefullyExitsFirst HopefullyExitsLast"
)
_TEXTS = (
    "Label UserName GroupName Program BundleProgram RootDirectory WorkingDirectory StandardInPath StandardOutPath "
    "StandardErrorPath ProcessType"
)
_LISTS = "ProgramArguments LimitLoadToHosts LimitLoadFromHosts WatchPaths QueueDirectories"
_NUMBERS = "TimeOut ExitTimeOut ThrottleInterval StartInterval Nice"
_DICTIONARIES = "inetdCompatibility LimitLoadToHardware LimitLoadFromHardware MachServices Sockets LaunchEvents"

KEYS: Mapping[str, tuple[Type, ...]] = {
    **dict.fromkeys(_BOOLEANS.split(), (Type.BOOLEAN,)),
    **dict.fromkeys(_TEXTS.split(), (Type.TEXT,)),
    **dict.fromkeys(_LISTS.split(), (Type.TEXTS,)),
    **dict.fromkeys(_NUMBERS.split(), (Type.INTEGER,)),
    **dict.fromkeys(_DICTIONARIES.split(), (Type.DICTIONARY,)),
    "KeepAlive": (Type.BOOLEAN, Type.DICTIONARY),
    "LimitLoadToSessionType": (Type.TEXT, Type.TEXTS),
    "AssociatedBundleIdentifiers": (Type.TEXT, Type.TEXTS),
    "Umask": (Type.INTEGER, Type.TEXT),
    "EnvironmentVariables": (Type.TEXTS_BY_NAME,),
    "SoftResourceLimits": (Type.NUMBERS_BY_NAME,),
    "HardResourceLimits": (Type.NUMBERS_BY_NAME,),
    "StartCalendarInterval": (Type.DICTIONARY, Type.DICTIONARIES),
}
"""Key → the types that its value may have."""

IGNORED: Mapping[str, str] = {
    "OnDemand": "replaced by KeepAlive since Mac OS X 10.5",
    "ServiceIPC": "no longer used",
    "TimeOut": "no longer implemented",
    "HopefullyExitsFirst": "no longer implemented",
    "HopefullyExitsLast": "no longer implemented",
    "LimitLoadToHosts": "no longer supported",
    "LimitLoadFromHosts": "no longer supported",
}
"""Keys without effect anywhere, and why."""

IGNORED_IN_DAEMONS: Mapping[str, str] = {"LimitLoadToSessionType": "the system has no sessions"}
IGNORED_IN_AGENTS: Mapping[str, str] = dict.fromkeys(
    ("UserName", "GroupName", "RootDirectory", "InitGroups"), "only jobs of the system domain may change who runs them"
)
KEEP_ALIVE: Mapping[str, Type] = {
    "SuccessfulExit": Type.BOOLEAN,
    "Crashed": Type.BOOLEAN,
    "AfterInitialDemand": Type.BOOLEAN,
    "NetworkState": Type.BOOLEAN,
    "PathState": Type.DICTIONARY,
    "OtherJobEnabled": Type.DICTIONARY,
}
IGNORED_IN_KEEP_ALIVE: Mapping[str, str] = {"NetworkState": "no longer implemented"}
SESSIONS = ("Aqua", "LoginWindow", "Background", "StandardIO", "System")
PROCESS_TYPES = ("Background", "Standard", "Adaptive", "Interactive")
