"""From a source named on the command line to a batch of tensors.

`open_data` (in `open`) turns a source into `Examples`; `describe` (in `describe`) says what a training run would see. One file per kind
of source: `digits`, `inked`, `points`, `idx`, `images` (folders and zips), `photo` (one image), `hub` (what the library `datasets` reads),
`user` (a `torch.utils.data.Dataset`).
"""
