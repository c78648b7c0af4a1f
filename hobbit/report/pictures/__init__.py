"""Pictures that can be read at a glance. Nothing here imports matplotlib before something is drawn."""

from hobbit.report.pictures.draw import draw_all, pictures_of
from hobbit.report.pictures.picture import Picture, check_matplotlib

__all__ = ["Picture", "check_matplotlib", "draw_all", "pictures_of"]
