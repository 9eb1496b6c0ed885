"""How Sphinx builds the API reference."""

import importlib.metadata

project = 'queueservice'
author = 'the queueservice developers'
copyright = 'the queueservice developers'
release = version = importlib.metadata.version('queueservice')

extensions = ['os_api_ref']
exclude_patterns = []

html_theme = 'furo'
html_title = f'queueservice API reference {release}'
html_static_path = ['_static']
html_css_files = ['api-ref.css']
html_show_sourcelink = False


def setup(app):
    app.connect('html-page-context', _drop_script)


def _drop_script(app, pagename, templatename, context, doctree):
    # os-api-ref folds sections with a script for jQuery and Bootstrap. Here everything is open.
    context['script_files'] = [
        script for script in context['script_files'] if 'api-site.js' not in str(getattr(script, 'filename', script))
    ]
