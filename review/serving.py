"""``fit-triage review``: the staff page on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from review.desk import Desk, store_of
from review.typed import login


def review(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any that is free.")] = 8380,
    by: Annotated[str, typer.Option(help="Who is at the page; your login name if left out.")] = "",
) -> None:
    """Open the review page for support staff; stop it with Ctrl-C."""
    import uvicorn
    from starlette.middleware import Middleware

    from review.web.app import web_app
    from review.web.standin import Guard, Person

    desk: Desk = context.obj
    settings = desk.settings()
    with store_of(settings) as store:
        guard = [Middleware(Guard, person=Person(by or login(), "admin"))]
        app = web_app(desk, store, settings, guard=guard)
        typer.echo(f"The review page is at http://127.0.0.1:{port}/ (Ctrl-C stops it)")
        uvicorn.run(
            app,
            host="127.0.0.1",
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
        )
