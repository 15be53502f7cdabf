package participant

// Readable tells whether what was kept can be read as an answer.
func Readable(data []byte) error {
	_, err := readAnswer(data)
	return err
}
