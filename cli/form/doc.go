// Package form renders the answers of commands. An answer is a document, which is printed as JSON or as tables, and a
// text; [Answer.Write] alone decides by --write-out. Lines and rows fit the terminal: a writer that is one has the
// method Columns.
package form
