"""What a run would take, reckoned from one tile: who computes, memory, time and dollars. Arithmetic only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rios_batch.model.costs import Prices, Usage, cost_usd

if TYPE_CHECKING:
    from rios_batch.model.grid import PixelWindow
    from rios_batch.model.tiles import TilePlan

ENV_DRY_RUN = "RIOS_BATCH_DRY_RUN"
"""Names a file into which every ``apply`` writes a line of JSON with its forecast, whatever the script's controls say
of dry runs; ``rios-batch plan`` sets it."""
MIB = 2**20
START_SECONDS = 180.0
"""What is taken for the time until a machine of AWS Batch is there, and its container runs."""
QUEUE_REQUESTS = 4
"""Requests to SQS for a tile: sent, received, renewed, deleted."""
# The worker program with boto3 and GDAL, and the server that its worker processes are forked from; measured.
PROGRAM_BYTES = 150 * MIB
# Of the server's memory a process comes to have its own copy, page by page.
_COPIED_BYTES = 32 * MIB
# GDAL's cache in a worker process has at least this; the first tile does not fill it.
_CACHE_BYTES = 16 * MIB
# A worker process has two tiles in the program's hands: one comes or waits, one is encoded for S3 and sent.
_RESULTS_IN_PROGRAM = 4


@dataclass(frozen=True)
class Workforce:
    """Who would compute the tiles of a run.

    Attributes
    ----------
    workers : how many the script asks for; on AWS Batch without main's own worker.
    processes : tiles that a worker computes at a time.
    own_processes : tiles that main's own worker beside those on AWS Batch computes at a time.
    in_main : workers are threads of main, or main itself.
    on_batch : workers are containers on AWS Batch, and cost something.
    memory_mib : what a worker may take; None if nobody says.
    place : whose workers they are, for a sentence.
    max_usd : what the run may cost; None for any sum.
    most : how many workers there may be; None if nobody says.
    assumed : what was taken for granted, as sentences.
    """

    workers: int
    processes: int = 1
    own_processes: int = 0
    in_main: bool = False
    on_batch: bool = False
    memory_mib: int | None = None
    place: str = "this machine"
    max_usd: float | None = None
    most: int | None = None
    assumed: tuple[str, ...] = ()

    def at_once(self, workers: int) -> int:
        """Return how many tiles so many workers compute at a time; the tile plan follows it."""
        return (workers + bool(self.own_processes)) * self.processes


@dataclass(frozen=True)
class ProcessMemory:
    """What a process has taken, in bytes.

    Attributes
    ----------
    peak : the most that was resident.
    files : the part of it that is program files, which processes share.
    at_start : what is not files of the process that it was forked from.
    """

    peak: int
    files: int
    at_start: int

    @property
    def own(self) -> int:
        """Return what the process has taken for its work."""
        return max(0, self.peak - self.files - self.at_start)


@dataclass(frozen=True)
class MeasuredTile:
    """The tile that was computed.

    Attributes
    ----------
    reading_s, function_s, encoding_s, statistics_s : wall-clock seconds.
    bytes_out : what the tile's outputs have, encoded where workers encode them.
    layouts : type and bands of each output, by its label.
    """

    tile: int
    window: PixelWindow
    reading_s: float
    function_s: float
    encoding_s: float
    statistics_s: float
    bytes_out: int
    layouts: dict[str, str]
    memory: ProcessMemory | None

    @property
    def seconds(self) -> float:
        """Return how long a worker process is busy with it."""
        return self.reading_s + self.function_s + self.encoding_s + self.statistics_s


@dataclass(frozen=True)
class Traffic:
    """Bytes that a run reads and writes.

    Attributes
    ----------
    read_bytes : of the inputs' files: the stored size times the share of the pixels that is used.
    files_without_size : inputs whose stored size nobody tells; they are not in ``read_bytes``.
    pixels_read_bytes : of the same pixels in memory, without margins.
    copied_bytes : of local inputs that are copied for workers elsewhere.
    written_bytes : of the outputs: the measured tile's times the number of such tiles; None if none was measured.
    """

    read_bytes: int
    files_without_size: int
    pixels_read_bytes: int
    copied_bytes: int
    written_bytes: int | None = None


@dataclass(frozen=True)
class Scenario:
    """What so many workers would take.

    Attributes
    ----------
    workers : how many are asked for.
    busy : how many of them have something to do.
    tiles : into how many tiles the run would be cut for them.
    wall_s : until the last tile is computed.
    usd : None where nothing is paid.
    possible : the stack may have so many.
    too_late : main's own worker has done all before the first machine comes.
    """

    workers: int
    busy: int
    tiles: int
    wall_s: float
    usd: float | None
    possible: bool = True
    too_late: bool = False


@dataclass(frozen=True)
class Forecast:
    """What a run would take.

    Attributes
    ----------
    function, job_manager : their names.
    ncols, nrows, xres, yres, bounds : of the working grid; bounds are xmin, ymin, xmax and ymax.
    tiles, tile_cols, tile_rows : number of tiles, and the size of the first in pixels.
    outputs : names of the files that would be written.
    traffic : bytes read and written.
    measured : the tile that was computed; None if none could be.
    not_measured : why no tile could be computed; empty otherwise.
    memory_mib : predicted peak of a worker; None if it could not be measured.
    workforce : who would compute, and what they may take.
    scenarios : times and dollars for several numbers of workers, the one that the script asks for included.
    prices : of what date, and where; empty where nothing is paid.
    refused : why the run would not be begun; empty if it would.
    """

    function: str
    job_manager: str
    ncols: int
    nrows: int
    xres: float
    yres: float
    bounds: tuple[float, float, float, float]
    tiles: int
    tile_cols: int
    tile_rows: int
    outputs: tuple[str, ...]
    traffic: Traffic
    measured: MeasuredTile | None
    not_measured: str
    memory_mib: int | None
    workforce: Workforce
    scenarios: tuple[Scenario, ...]
    prices: str
    refused: str


def worker_bytes(workforce: Workforce, memory: ProcessMemory, bytes_out: int, main_bytes: int) -> int:
    """Return the most that a worker is predicted to take.

    Parameters
    ----------
    memory : of a process that has computed one tile.
    bytes_out : the tile's outputs, as they leave the process.
    main_bytes : what main takes now, and will take for GDAL's cache; for workers that are threads of main.
    """
    if workforce.in_main:
        return main_bytes + workforce.workers * memory.own
    if not workforce.on_batch:
        return memory.peak + _CACHE_BYTES
    own = memory.own + _COPIED_BYTES + _CACHE_BYTES + _RESULTS_IN_PROGRAM * bytes_out
    return PROGRAM_BYTES + workforce.processes * own


def numbers_of_workers(workforce: Workforce, cores: int) -> list[int]:
    """Return for which numbers of workers a plan says what they take."""
    usual = {1, 10, 50, 100, 500} if workforce.on_batch else {2**n for n in range(cores.bit_length())}
    return sorted(usual | ({workforce.workers} if workforce.workers else set()))


def scenario(
    workers: int,
    plan: TilePlan,
    workforce: Workforce,
    measured: MeasuredTile,
    *,
    cores: int,
    prices: Prices | None,
    gb_out: float,
) -> Scenario:
    """Return what a number of workers takes, if every pixel takes as long as those of the measured tile.

    Parameters
    ----------
    plan : the tiles that the run is cut into for so many workers.
    cores : of this machine, which its own workers share.
    prices : None where nothing is paid.
    gb_out : GB (10**9 bytes) that leave AWS.
    """
    tile_s = measured.seconds / measured.window.size_px * plan.tile(0).window.size_px
    tiles, own = len(plan), workforce.own_processes
    if prices is None:
        busy = min(workers, tiles)
        return Scenario(workers, busy, tiles, math.ceil(tiles / min(busy, cores)) * tile_s, None)
    busy = min(workers, math.ceil(max(tiles - own, 0) / workforce.processes))
    alone_s = math.ceil(tiles / own) * tile_s if own else math.inf
    work_s = math.ceil(tiles / (busy * workforce.processes + own)) * tile_s
    if alone_s <= START_SECONDS:
        wall_s, usage = alone_s, Usage()
    else:
        hours = busy * work_s / 3600
        wall_s, usage = min(alone_s, START_SECONDS + work_s), Usage(hours * workforce.processes, hours, busy)
    usage = Usage(
        usage.vcpu_hours, usage.worker_hours, usage.tails, tiles, tiles, QUEUE_REQUESTS * tiles, gb_out
    )
    possible = workforce.most is None or workers <= workforce.most
    too_late = alone_s <= START_SECONDS
    return Scenario(workers, busy, tiles, wall_s, cost_usd(usage, prices), possible, too_late)


def total_of(measured_bytes: int, window: PixelWindow, pixels: int) -> int:
    """Return the bytes of so many pixels that are like those of a window."""
    return round(measured_bytes / window.size_px * pixels)
