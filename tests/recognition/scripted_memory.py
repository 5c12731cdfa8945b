"""A machine whose memory the test hands out: to the service's own models, and to other programs."""

from collections import Counter

from recognition.models.device_memory import DeviceMemory


class ScriptedMemory:
    """A MemoryReader. `others` is what other programs hold by device, `ours` what the service's models do."""

    def __init__(self, **total_mib: float) -> None:
        """`cpu=8000, cuda_0=16000`."""
        self.total_mib = {device.replace("_", ":"): mib for device, mib in total_mib.items()}
        self.others: Counter[str] = Counter()
        self.ours: Counter[str] = Counter()

    def read(self) -> dict[str, DeviceMemory]:
        return {
            device: DeviceMemory(max(0.0, total - self.others[device] - self.ours[device]), total)
            for device, total in self.total_mib.items()
        }
