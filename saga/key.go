package saga

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxNameBytes is the longest definition name, saga id or step name, in bytes. A name is one token of a NATS
// subject, and a server takes subjects of a few kilobytes at most.
const MaxNameBytes = 128

// Key names a saga: the definition it follows and its own id. The pair is unique within a namespace.
type Key struct {
	Definition string `json:"definition"`
	ID         string `json:"id"`
}

// String gives "definition/id", for logs and messages.
func (k Key) String() string { return k.Definition + "/" + k.ID }

// Validate refuses a key that cannot be part of a subject. The error is an [*InvalidNameError].
func (k Key) Validate() error {
	if err := CheckName("definition", k.Definition); err != nil {
		return err
	}
	return CheckName("id", k.ID)
}

// InvalidNameError tells which name was refused, and why.
type InvalidNameError struct {
	Field  string // what was being named: "id", "definition", "step", ...
	Value  string
	Reason string
}

func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("invalid %s %q: %s", e.Field, e.Value, e.Reason)
}

// CheckName refuses names that cannot be one token of a NATS subject: the empty name, one longer than
// [MaxNameBytes], and any with white space, control characters, '.', '*', '>' or bytes that are not UTF-8.
// The error is an [*InvalidNameError] that bears field.
func CheckName(field, name string) error {
	refuse := func(reason string) error { return &InvalidNameError{Field: field, Value: name, Reason: reason} }
	switch {
	case name == "":
		return refuse("must not be empty")
	case len(name) > MaxNameBytes:
		return refuse(fmt.Sprintf("is %d bytes long, at most %d are allowed", len(name), MaxNameBytes))
	case !utf8.ValidString(name):
		return refuse("is not valid UTF-8")
	}
	if i := strings.IndexFunc(name, illegal); i >= 0 {
		r, _ := utf8.DecodeRuneInString(name[i:])
		return refuse(fmt.Sprintf("contains %q; white space, control characters, '.', '*' and '>' are not allowed", r))
	}
	return nil
}

func illegal(r rune) bool {
	switch r {
	case '.', '*', '>':
		return true
	}
	return unicode.IsSpace(r) || unicode.IsControl(r)
}
