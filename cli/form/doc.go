// Package form renders the answers of commands. An answer is a document for programs, and a text or a table for people; [Answer.Write]
// alone decides by --write-out. Lines and rows fit the terminal: a writer that is one has the method Columns.
package form
