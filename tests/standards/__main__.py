"""Write the page on standards anew."""

from .page import PAGE, page

PAGE.write_text(page())
