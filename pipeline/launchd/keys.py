"""What may stand in a job: the keys of launchd.plist(5), their shapes, and those that launchd ignores. Data alone.

The page is that of 30 July 2019, which macOS has had since 10.15. What it leaves open is from launchd's own source
(launchd-842, src/core.c and liblaunch/launch.h), the last that was published.
"""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.launchd.shapes import Choice, Fields, Many, Named, Range, Shape, Type

SESSIONS = ("Aqua", "LoginWindow", "Background", "StandardIO", "System")
"""Of launchctl's -S, and of Apple's Technical Note TN2083."""

_BOOLEAN, _TEXT, _INTEGER = (Type.BOOLEAN,), (Type.TEXT,), (Type.INTEGER,)
_TEXTS, _TEXT_OR_TEXTS = (Many(_TEXT),), (Type.TEXT, Many(_TEXT))

_KEEP_ALIVE = Fields(
    {
        "SuccessfulExit": _BOOLEAN,
        "NetworkState": _BOOLEAN,
        "PathState": (Named(_BOOLEAN),),
        "OtherJobEnabled": (Named(_BOOLEAN),),
        "Crashed": _BOOLEAN,
        # Of launch.h alone; launchd has known it since Mac OS X 10.6.
        "AfterInitialDemand": _BOOLEAN,
    }
)
_CALENDAR = Fields(
    {
        "Minute": (Range(0, 59),),
        "Hour": (Range(0, 23),),
        "Day": (Range(1, 31),),
        "Weekday": (Range(0, 7),),
        "Month": (Range(1, 12),),
    }
)
_LIMITS = Fields(
    dict.fromkeys(
        (
            *("Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses"),
            *("ResidentSetSize", "Stack"),
        ),
        _INTEGER,
    )
)
_MACH_SERVICE = Fields({"ResetAtClose": _BOOLEAN, "HideUntilCheckIn": _BOOLEAN})
_SOCKET = Fields(
    {
        "SockType": (Choice(("stream", "dgram", "seqpacket")),),
        "SockPassive": _BOOLEAN,
        "SockNodeName": _TEXT,
        "SockServiceName": (Type.TEXT, Type.INTEGER),
        "SockFamily": (Choice(("IPv4", "IPv6", "IPv4v6", "Unix")),),
        "SockProtocol": (Choice(("TCP", "UDP")),),
        "SockPathName": _TEXT,
        "SecureSocketWithKey": _TEXT,
        "SockPathOwner": _INTEGER,
        "SockPathGroup": _INTEGER,
        "SockPathMode": _INTEGER,
        "Bonjour": (Type.BOOLEAN, *_TEXT_OR_TEXTS),
        "MulticastGroup": _TEXT,
    }
)
_HARDWARE = (Named((Many((Type.TEXT, Type.INTEGER)),)),)
_SESSION = Choice(SESSIONS)

_BOOLEANS = (
    "Disabled EnableGlobbing EnableTransactions EnablePressuredExit RunAtLoad InitGroups StartOnMount Debug "
    "WaitForDebugger AbandonProcessGroup LowPriorityIO LowPriorityBackgroundIO MaterializeDatalessFiles LaunchOnlyOnce "
    "SessionCreate LegacyTimers OnDemand ServiceIPC"
)
_STRINGS = (
    "Label UserName GroupName Program BundleProgram RootDirectory WorkingDirectory StandardInPath StandardOutPath "
    "StandardErrorPath HopefullyExitsFirst HopefullyExitsLast"
)
_LISTS = "ProgramArguments LimitLoadToHosts LimitLoadFromHosts WatchPaths QueueDirectories"
_NUMBERS = "TimeOut ExitTimeOut ThrottleInterval StartInterval Nice"

KEYS: Mapping[str, tuple[Shape, ...]] = {
    **dict.fromkeys(_BOOLEANS.split(), _BOOLEAN),
    **dict.fromkeys(_STRINGS.split(), _TEXT),
    **dict.fromkeys(_LISTS.split(), _TEXTS),
    **dict.fromkeys(_NUMBERS.split(), _INTEGER),
    "KeepAlive": (Type.BOOLEAN, _KEEP_ALIVE),
    "LimitLoadToSessionType": (_SESSION, Many((_SESSION,))),
    "LimitLoadToHardware": _HARDWARE,
    "LimitLoadFromHardware": _HARDWARE,
    "AssociatedBundleIdentifiers": _TEXT_OR_TEXTS,
    "ProcessType": (Choice(("Background", "Standard", "Adaptive", "Interactive")),),
    "Umask": (Type.INTEGER, Type.TEXT),
    "EnvironmentVariables": (Named(_TEXT),),
    "SoftResourceLimits": (_LIMITS,),
    "HardResourceLimits": (_LIMITS,),
    "StartCalendarInterval": (_CALENDAR, Many((_CALENDAR,))),
    "inetdCompatibility": (Fields({"Wait": _BOOLEAN}),),
    "MachServices": (Named((Type.BOOLEAN, _MACH_SERVICE)),),
    "Sockets": (Named((_SOCKET, Many((_SOCKET,)))),),
    "LaunchEvents": (Named((Named((Type.DICTIONARY,)),)),),
}
"""Key → the shapes that its value may have."""

_OF_APPLE = (
    "POSIXSpawnType MinimalBootProfile JetsamProperties SandboxProfile SandboxFlags SandboxContainer QuarantineData "
    "UserEnvironmentVariables IgnoreProcessGroupAtShutdown MachServiceLookupPolicies Policies SHAuthorizationRight "
    "CFBundleIdentifier DisableASLR XPCDomain EmbeddedPrivilegeDispensation PerJobMachServices BinaryOrderPreference "
    "MachExceptionHandler MultipleInstances EventMonitor ShutdownMonitor BeginTransactionAtShutdown JoinGUISession"
)
PRIVATE = frozenset(_OF_APPLE.split())
"""Keys of Apple's own jobs (launch.h, launch_priv.h, and jobs that Apple published); so are all that begin with `_`."""

IGNORED: Mapping[str, str] = {
    "OnDemand": "true does nothing, false is what KeepAlive says better",
    "ServiceIPC": "no longer used",
    "TimeOut": "no longer implemented",
    "HopefullyExitsFirst": "no longer implemented",
    "HopefullyExitsLast": "no longer implemented",
    "LimitLoadToHosts": "no longer supported",
    "LimitLoadFromHosts": "no longer supported",
    "KeepAlive.NetworkState": "no longer implemented",
}
"""Keys without effect anywhere, and why."""

IGNORED_IN_DAEMONS: Mapping[str, str] = {"LimitLoadToSessionType": "the system has no sessions"}
IGNORED_IN_AGENTS: Mapping[str, str] = dict.fromkeys(
    ("UserName", "GroupName", "RootDirectory", "InitGroups"), "only jobs of the system domain may change who runs them"
)
STANDARD_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
"""Where launchd looks for a program that is a bare name (_PATH_STDPATH of paths.h)."""
