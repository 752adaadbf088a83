package log

// LastIndexOf is LastIndex without its error.
func (w *Window) LastIndexOf() uint64 { return w.last() }

// HotBytes is what is in memory.
func (w *Window) HotBytes() int64 { return w.hotBytes }
