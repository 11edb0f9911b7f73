"""Sizes of chunks, blocks, tiles and batches: what one file, request, task or buffer holds.

They decide speed and memory: a tile must fit into a cache, a block into memory beside those of other threads, a request
must be worth its round trip. Results depend on tiles and on spans within rounding, and on no other size here. Modules
read them as ``sizes.NAME`` at the time of use, so that one assignment here changes them everywhere. Compiled kernels
freeze them; their machine code is compiled anew when this file changes.
"""

# Files

SHARD_BYTES = 1 << 28
"""Bytes of a tensor in one file of a packed store: few files, as DVC and object stores are slow on many."""

PACKED_CHUNK_BYTES = 1 << 22
"""Bytes of one chunk of a packed store, the least that plain xarray reads."""

PACKED_CHUNK_STEPS = 1024
"""Most steps in one chunk of a packed store, so that a step of a tiny tensor does not read its whole history."""

SEGMENT_BYTES = 1 << 24
"""Bytes of recorded gradients in one file; a crash loses at most the rows of the file being filled."""

# Object stores

REQUEST_BYTES = 1 << 23
"""Bytes fetched by one request; one connection uses only part of the bandwidth, so that larger spans are divided."""

READAHEAD_BYTES = 1 << 16
"""Bytes read ahead in an open remote file: enough for most headers."""

REQUESTS = 32
"""Most requests at the same time when many files are opened."""

# Lazy arrays

CHUNK_BYTES = 1 << 24
"""Bytes of one chunk of a lazy array: large enough that the cost of a dask task does not show."""

# The pass over the steps

TILE_ENTRIES = 16_384
"""Entries of a row that a kernel reads at once and sums up: 64 kB of float32, so that tiles of two rows stay in L2.
A multiple of 8, so that tiles share no byte of bits."""

WINDOW_ENTRIES = 1 << 19
"""Entries of all rows that are read at once, at least a tile of each: with few steps a tile alone takes less time to
compute than to hand out."""

SHORT_ENTRIES = 16_384
"""Rows of up to this many entries are read whole. `distribution` can then sort them, and its quantiles are exact."""

BLOCK_BYTES = 1 << 26
"""Bytes of a tensor that one task holds in memory, where it cannot read a tile at a time."""

BLOCK_STEPS = 32
"""Most steps of a long tensor in one task, so that a tile of all of them stays in cache."""

SHORT_BLOCK_STEPS = 4096
"""Most steps of a short tensor in one task."""

GROUP_BYTES = 1 << 22
"""Blocks smaller than this share a task until together they reach it."""

GROUP_BLOCKS = 16
"""Most blocks in one task."""

SPAN_BYTES = 1 << 26
"""Bytes, as float32, of the span of entries at all steps that one task multiplies step by step."""

SPAN_PIECE_BYTES = 1 << 24
"""Bytes of a span in memory at once."""

ROW_PIECE_ENTRIES = 1 << 20
"""Entries in memory at once of a long row that is read once more, such as one with bins that are to be split."""

FOLD_ENTRIES = 1 << 18
"""Entries of a row from which on what a block keeps of each entry is merged block by block, not at the end."""

# Kernels

GRAM_TILE_BYTES = 1 << 22
"""Bytes of float64 deviations from the mean, of all steps, that are multiplied at once."""

GRAM_TILE_MIN, GRAM_TILE_MAX = 256, 8192
"""Fewest and most entries of such a tile, however many steps share it."""

SORT_ENTRIES = 1 << 18
"""Entries of short rows that are copied and sorted together."""

SVD_BLOCK_BYTES = 1 << 22
"""Bytes of matrices whose singular values one task computes: some tenths of a second of work."""

MATRIX_PART_BYTES = 1 << 25
"""Bytes of a matrix that are in float64 at once while it is multiplied."""

LOCAL_GRADIENT_ENTRIES = 32_768
"""Numbers of local gradients that are summed at once: they stay in the cache of one core."""

LOCAL_GRADIENT_PAIRS = 1 << 22
"""Pairs of an output and an input channel whose squares are kept at once, over all samples summed together."""

# Replays and statistics

BATCH_SAMPLES = 256
"""Most samples in one pass through the network."""

BATCH_BYTES = 1 << 26
"""Bytes of all outputs of one pass; a backward pass keeps them all, and small batches are faster than large ones."""

CORRELATION_FEATURES = 512
"""Features of a layer whose correlations with all features of another are in memory at once."""

NEIGHBOR_SAMPLES = 512
"""Samples whose distances to all others are in memory at once."""
