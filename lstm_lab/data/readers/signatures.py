"""The first bytes of files that are not text: what each is, and what to do with it."""

from __future__ import annotations

_EXCEL = "a zip archive or an Excel sheet: unpack it, or save the sheet as 'CSV UTF-8'"
_NUMPY = (
    "a NumPy array: save it as X, with its targets as y, by numpy.savez('data.npz', X=X, y=y), and train it by "
    "data.name=arrays"
)
_PICKLE = (
    "a pickle, which runs code when it is read: save a DataFrame by to_parquet('data.parquet'), arrays by "
    "numpy.savez('data.npz', X=X, y=y)"
)
_MATLAB = (
    "a file of MATLAB: save what scipy.io.loadmat reads by numpy.savez('data.npz', X=X, y=y), and train it by "
    "data.name=arrays"
)
_ARFF = "ARFF: take the .ts file that the archive has beside it, or save the rows as CSV with a header"
SIGNATURES = {
    b"PK\x03\x04": _EXCEL,
    b"PK\x05\x06": _EXCEL,
    b"\xd0\xcf\x11\xe0": "an old Excel sheet: save the sheet as 'CSV UTF-8'",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it",
    b"\x93NUMPY": _NUMPY,
    b"\x89HDF": "HDF5: name it .h5 and read arrays X and y by data.name=arrays, or save tables as CSV",
    b"PAR1": "Parquet: name it .parquet, or save it as CSV",
    b"ARROW1": "Arrow or Feather: name it .feather",
    b"MATLAB 5.0": _MATLAB,
    b"@relation": _ARFF,
    b"@RELATION": _ARFF,
    b"\x80\x04\x95": _PICKLE,
    b"\x80\x05\x95": _PICKLE,
    b"SQLite format 3": "an SQLite database: save a table of it as CSV",
    b"%PDF": "PDF: save its text as UTF-8",
}
"""First bytes of a file -> what it is, and what to do."""
