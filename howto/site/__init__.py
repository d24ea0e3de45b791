"""The Sphinx extension: what executing left becomes pages. Builds nothing by itself."""
