"""Sections of a page. A section is a file here that defines a subclass of `ReportSection`; nothing else lists it."""
