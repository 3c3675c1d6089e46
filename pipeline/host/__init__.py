"""The one door to the outside: time, chance, processes, network, files, secrets, the terminal.

Everything above receives a `Host` and reaches the machine through it alone, so that a test can stand at the door: count
operations, cut a connection, move the clock. Each operation calls `observe(kind, subject)` before it acts.
"""

from pipeline.host.clock import Clock, SystemClock, seconds_since
from pipeline.host.console import Console
from pipeline.host.entropy import Entropy, SystemEntropy
from pipeline.host.files import Files
from pipeline.host.http import Http, Response, Upload
from pipeline.host.runner import Completed, Runner
from pipeline.host.secrets import Secrets
from pipeline.host.system import Host, Observer, system_host

__all__ = [
    "Clock",
    "Completed",
    "Console",
    "Entropy",
    "Files",
    "Host",
    "Http",
    "Observer",
    "Response",
    "Runner",
    "Secrets",
    "SystemClock",
    "SystemEntropy",
    "Upload",
    "seconds_since",
    "system_host",
]
