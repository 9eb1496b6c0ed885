"""How Sphinx builds the documentation."""

import importlib.metadata
import pathlib

project = 'queueservice'
author = 'the queueservice developers'
copyright = 'the queueservice developers'
release = version = importlib.metadata.version('queueservice')

extensions = ['oslo_config.sphinxext', 'reno.sphinxext']
exclude_patterns = []

if not (pathlib.Path(__file__).parents[2] / '.git').exists():
    # Release notes are put together of git's history, which a downloaded archive has not.
    exclude_patterns.append('release-notes.rst')
    suppress_warnings = ['toc.excluded', 'ref.doc']

html_theme = 'furo'
html_title = f'queueservice {release}'
html_show_sourcelink = False
