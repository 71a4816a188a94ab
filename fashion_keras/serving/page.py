"""A function from files to HTML in; a web page to drop photos on, as an ASGI application, out.

Nothing is loaded from outside: fonts are the system's, Gradio's telemetry is off, and a content
security policy has the browser refuse whatever else there might be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path

from fashion_keras.errors import UserError

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-ancestors 'self'"
)
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_FILE = "32mb"
_CLEAN_EVERY = _CLEAN_AFTER = 600  # seconds: uploaded photos do not stay


def check_gradio() -> None:
    """Raise `UserError` unless Gradio is installed."""
    try:
        import importlib.metadata

        importlib.metadata.version("gradio")
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "the page needs Gradio, which is not installed.\n"
            'Install it: pip install "fashion-keras[demo]"'
        ) from None


def make_app(
    answer: Callable[[Sequence[Path]], str],
    title: str,
    introduction: str,
    examples: Sequence[Path] = (),
    *,
    uploads: Path,
    any_host: bool = False,
):
    """Return the page as an ASGI application.

    Args:
        answer: called with the dropped files, returns HTML.
        title: the browser's tab.
        introduction: Markdown above the drop area.
        examples: photos that can be picked.
        uploads: a folder for what is dropped, which is removed from it after ten minutes.
        any_host: answer requests by any host name, not the loopback's alone.
    """
    # Read when Gradio is imported.
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(uploads)
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    examples = [str(Path(path).resolve()) for path in examples]

    def answer_dropped(files):
        # The drop area is emptied, so that it takes the next photos.
        return None, answer([Path(file) for file in files or ()])

    def answer_picked(event: gr.SelectData):
        return answer([Path(examples[event.index])])

    # By the class itself, for Gradio looks up a name in the module alone.
    answer_picked.__annotations__["event"] = gr.SelectData

    with gr.Blocks(
        title=title, analytics_enabled=False, delete_cache=(_CLEAN_EVERY, _CLEAN_AFTER)
    ) as blocks:
        gr.Markdown(introduction, elem_classes="fk-intro")
        drop = gr.File(
            label="Drop photos here, paste one, or choose files",
            file_count="multiple",
            elem_id="fk-drop",
            height=150,
        )
        if examples:
            gallery = gr.Gallery(
                examples,
                label="Or pick an example",
                columns=len(examples),
                object_fit="contain",
                allow_preview=False,
                interactive=False,
                elem_id="fk-examples",
                buttons=[],
            )
        answers = gr.HTML(elem_id="fk-answers")
        drop.upload(answer_dropped, drop, [drop, answers], show_progress_on=answers)
        if examples:
            gallery.select(answer_picked, None, answers, show_progress_on=answers)

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    if not any_host:
        # Or any site could have the browser ask this page by a name of its own.
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"])

    @app.middleware("http")
    async def add_policy(request, call_next):
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        return response

    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
    theme = gr.themes.Default(font=fonts, font_mono=["ui-monospace", "Consolas", "monospace"])
    return gr.mount_gradio_app(
        app,
        blocks,
        path="",
        theme=theme,
        css=_template("demo.css"),
        head=f"<script>{_template('demo.js')}</script>",
        allowed_paths=examples,
        max_file_size=_MAX_FILE,
        footer_links=[],
        ssr_mode=False,
        pwa=False,
        enable_monitoring=False,
        show_error=False,
    )


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(f"templates/{name}").read_text("utf-8")
