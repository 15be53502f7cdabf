package saga

import "strings"

// CheckNamespace refuses names that cannot be part of a subject, a stream's name and a Redis key alike: any but 1 to 64
// letters, digits, '-' and '_' of ASCII. The error is an [*InvalidNameError].
func CheckNamespace(name string) error {
	const longest = 64
	bad := func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if name == "" || len(name) > longest || strings.ContainsFunc(name, bad) {
		return &InvalidNameError{Field: "namespace", Value: name, Reason: "must be 1 to 64 letters, digits, '-' or '_'"}
	}
	return nil
}
