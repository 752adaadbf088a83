package log

// LastIndexOf is LastIndex without its error.
func (w *Window) LastIndexOf() uint64 { return w.last() }
