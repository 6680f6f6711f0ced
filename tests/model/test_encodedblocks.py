from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rios_batch.model.encodedblocks import BlockLayout

layouts = st.builds(
    BlockLayout,
    st.sampled_from([16, 32, 256]),
    st.sampled_from([16, 32, 256]),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 3),
)


@given(layouts, st.data())
def test_index_of_has_the_rectangles_blocks_of_every_plane_in_tiff_order(
    layout: BlockLayout, data: st.DataObject
) -> None:
    x, y = data.draw(st.integers(0, layout.nblocks_x - 1)), data.draw(st.integers(0, layout.nblocks_y - 1))
    nx, ny = data.draw(st.integers(1, layout.nblocks_x - x)), data.draw(st.integers(1, layout.nblocks_y - y))
    cut_x, cut_y = (data.draw(st.integers(0, side - 1)) for side in (layout.block_xsize, layout.block_ysize))

    index = layout.index_of(
        x * layout.block_xsize,
        y * layout.block_ysize,
        nx * layout.block_xsize - cut_x,
        ny * layout.block_ysize - cut_y,
    )

    numbers = np.arange(layout.nblocks).reshape(layout.nplanes, layout.nblocks_y, layout.nblocks_x)
    assert index.tolist() == numbers[:, y : y + ny, x : x + nx].ravel().tolist()
