package shop

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// nameWidth is at least how wide a table's first column is, so that the tables
// look alike.
const nameWidth = 43

// writeTable aligns the first column left and the others right, and ends with an
// empty line. The first row is the head.
func writeTable(b *strings.Builder, rows [][]string) {
	widths := make([]int, len(rows[0]))
	widths[0] = nameWidth
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + padding)
				continue
			}
			b.WriteString("  " + padding + cell)
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
}

// group writes n with a comma between thousands.
func group(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// cents writes an amount in the currency's main unit.
func cents(n int64) string {
	sign := ""
	if n < 0 {
		sign, n = "-", -n
	}
	return fmt.Sprintf("%s%s.%02d", sign, group(n/100), n%100)
}
