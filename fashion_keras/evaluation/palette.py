"""The colours of the evaluation's pictures, and the report's CSS variable for each."""

INK = "#1f2328"
MUTED = "#656d76"
LINE = "#d4d8dd"
RIGHT = "#2563c4"
WRONG = "#c8372d"

# A picture in the report takes the page's colours, so that it is light or dark as the page is.
CSS_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    LINE: "var(--line)",
    RIGHT: "var(--right)",
    WRONG: "var(--wrong)",
}
