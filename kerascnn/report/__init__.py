"""Results as one HTML file: sections of text, tables, figures and photos; nothing is loaded from elsewhere."""

from .page import Section, facts, figure, page, paragraph, photos, table

__all__ = ["Section", "facts", "figure", "page", "paragraph", "photos", "table"]
