"""The parts of the reproduction: what to measure, and what to show of it."""

from reproduction import Part
from sine import figures, measures, spectra, tables

PARTS = {
    "spectra": Part(spectra.measure, spectra.n_ticks, tables.spectra,
                    {"spectra": figures.spectra}),
    "mlp": Part(measures.mlp, measures.n_mlp, tables.runs("mlp", "accuracy"),
                {"mlp": figures.runs("accuracy on unseen digits")}),
    "adapters": Part(measures.adapters, measures.n_adapters, tables.runs("adapters", "accuracy"),
                     {"adapters": figures.adapters}),
    "vit": Part(measures.vit, measures.n_vit, tables.runs("vit", "accuracy"), {}),
    "image": Part(measures.image, measures.n_image, tables.runs("image", "PSNR"),
                  {"image": figures.pictures("image", "PSNR {:.1f}")}),
    "solid": Part(measures.solid, measures.n_solid, tables.runs("solid", "IoU"),
                  {"solid": figures.pictures("solid", "IoU {:.3f}")}),
    "scene": Part(measures.scene, measures.n_scene, tables.runs("scene", "PSNR"),
                  {"scene": figures.pictures("scene", "PSNR {:.1f}")}),
}  # fmt: skip
