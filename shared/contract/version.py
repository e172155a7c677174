"""The version of this release, for the package, the documents, the metrics and the command line."""

VERSION = "0.2.0"
