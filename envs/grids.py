"""Regions of a square grid, and the matrices of the 5-point stencil on them.

The points are those inside the boundary, numbered column by column, which is the natural order of
the literature (and of MATLAB's `numgrid`). On a region of n points a matrix is two numbers:
`diagonal` on its diagonal and -`coupling` between neighbours. So A = Laplacian + c I has diagonal 4
+ c and coupling 1; a Crank-Nicolson step has 1 + 4 a and a.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from ..core.checks import whole

if TYPE_CHECKING:
    from scipy.sparse import csr_array


@dataclasses.dataclass(frozen=True)
class Grid:
    """A region of a grid of side x side interior points. It is hashable: a static field.

    Attributes:
      region: "square", or "L": without the quadrant of the last half of the rows and the first half
        of the columns.
      side: number of points along an edge.

    Raises:
      ValueError: an unknown region; a side below 2, or an odd one for "L".
    """

    region: str
    side: int

    def __post_init__(self):
        object.__setattr__(self, "side", whole("side", self.side, 2, 10_000))
        if self.region not in ("square", "L"):
            raise ValueError(f'Grid: region is "square" or "L", got {self.region!r}')
        if self.region == "L" and self.side % 2:
            raise ValueError(f"Grid: the side of an L is even, got {self.side}")

    @property
    def mask(self) -> np.ndarray:
        """Which points (row, column) belong to the region, bool [side, side]."""
        mask = np.ones((self.side, self.side), bool)
        if self.region == "L":
            half = self.side // 2
            mask[half:, :half] = False
        return mask

    @property
    def size(self) -> int:
        """n: number of points."""
        return self.side**2 if self.region == "square" else 3 * self.side**2 // 4

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the points in their natural order, int [n] each."""
        columns, rows = np.nonzero(self.mask.T)
        return rows, columns

    @property
    def spread(self) -> float:
        """The largest eigenvalue of the adjacency matrix, so that the Jacobi iteration has the
        spectral radius coupling * spread / diagonal."""
        if self.region == "square":
            return float(4 * np.cos(np.pi / (self.side + 1)))
        from scipy.sparse.linalg import eigsh

        return float(eigsh(-self.matrix(0.0, 1.0), k=1, which="LA", return_eigenvectors=False)[0])

    def matrix(self, diagonal: float, coupling: float) -> csr_array:
        """The matrix, sparse float64 [n, n]: for checks, and for solvers that need one."""
        import scipy.sparse as sp

        number = np.full((self.side + 2, self.side + 2), -1)
        rows, columns = self.points
        number[rows + 1, columns + 1] = np.arange(self.size)
        pairs = []
        for down, right in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            other = number[rows + 1 + down, columns + 1 + right]
            inside = other >= 0
            pairs.append(np.stack([np.arange(self.size)[inside], other[inside]]))
        i, j = np.concatenate(pairs, axis=1)
        neighbours = sp.coo_array((np.ones(len(i)), (i, j)), shape=(self.size, self.size))
        return sp.csr_array(diagonal * sp.eye_array(self.size) - coupling * neighbours)


def square(side: int) -> Grid:
    """The unit square with side x side interior points."""
    return Grid("square", side)


def l_shape(side: int) -> Grid:
    """Three quarters of the square."""
    return Grid("L", side)
