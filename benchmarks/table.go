package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// table is text in aligned columns: the first to the left, the others to the right.
type table struct {
	rows [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// write writes the table; columns lie two spaces apart.
func (t *table) write(w io.Writer) error {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range t.rows {
		for i, cell := range row {
			padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			switch {
			case i == 0 && len(row) > 1:
				b.WriteString(cell + padding)
			case i == 0:
				b.WriteString(cell)
			default:
				b.WriteString("  " + padding + cell)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeJSON writes the report for machines.
func (r *report) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// writeTables writes the report for people.
func (r *report) writeTables(w io.Writer) error {
	m := r.Machine
	if _, err := fmt.Fprintf(w, "%s/%s, %d cores, %s; the server runs %s\n", m.OS, m.Arch, m.CPUs, m.Go, m.Server); err != nil {
		return err
	}
	for _, section := range []struct {
		title string
		table *table
	}{
		{"Throughput: sagas a second", r.throughput()},
		{"Latency: from before Start is sent until the saga has ended", r.latency()},
		{"Cost of one saga, and the heap that is live at the end", r.costs()},
		{"Memory of the worker", r.soak()},
	} {
		if len(section.table.rows) < 2 {
			continue
		}
		if _, err := fmt.Fprintf(w, "\n%s\n\n", section.title); err != nil {
			return err
		}
		if err := section.table.write(w); err != nil {
			return err
		}
	}
	return r.writeRemarks(w)
}

// writeRemarks tells what the tables do not show.
func (r *report) writeRemarks(w io.Writer) error {
	var b strings.Builder
	for _, v := range r.Results {
		if v.Skipped != "" {
			fmt.Fprintf(&b, "%s: not measured: %s\n", v.Variant, v.Skipped)
		}
		for _, side := range v.sides() {
			if side.Extra > 0 {
				fmt.Fprintf(&b, "%s: %s: %d messages beyond the script were stored\n", v.Variant, side.name, side.Extra)
			}
		}
	}
	for _, failure := range r.Failures {
		fmt.Fprintf(&b, "FAILED: %s\n", failure)
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := io.WriteString(w, "\n"+b.String())
	return err
}

// namedFigures are a side's figures with its name.
type namedFigures struct {
	name string
	*figures
}

// sides gives those that were measured.
func (r *result) sides() (sides []namedFigures) {
	for _, side := range []namedFigures{{sideFloor, r.Floor}, {sideEngine, r.Engine}} {
		if side.figures != nil {
			sides = append(sides, side)
		}
	}
	return sides
}

func (r *report) throughput() *table {
	t := &table{}
	t.add("variant", "sagas", "rounds", "floor/s", "engine/s", "ratio", "(min..max)", "step messages/s")
	for _, v := range r.Results {
		if v.Paced || v.Skipped != "" {
			continue
		}
		t.add(v.Variant, fmt.Sprint(v.Sagas), fmt.Sprint(v.Rounds),
			v.Floor.show(func(f *figures) string { return fmt.Sprintf("%.0f", f.Rate) }),
			v.Engine.show(func(f *figures) string { return fmt.Sprintf("%.0f", f.Rate) }),
			v.Rate.middle(), v.Rate.ends(),
			v.Engine.show(func(f *figures) string { return fmt.Sprintf("%.0f", f.Steps) }))
	}
	return t
}

func (r *report) latency() *table {
	t := &table{}
	t.add("variant", "sagas", "rounds", "floor p50", "p99", "engine p50", "p99", "p50 ratio", "(min..max)")
	p50 := func(f *figures) string { return milliseconds(f.P50) }
	p99 := func(f *figures) string { return milliseconds(f.P99) }
	for _, v := range r.Results {
		if !v.Floor.timed() && !v.Engine.timed() {
			continue // a backlog was waiting
		}
		t.add(v.Variant, fmt.Sprint(v.Sagas), fmt.Sprint(v.Rounds), v.Floor.show(p50), v.Floor.show(p99),
			v.Engine.show(p50), v.Engine.show(p99), v.P50.middle(), v.P50.ends())
	}
	return t
}

func (r *report) costs() *table {
	t := &table{}
	t.add("variant", "allocations: floor", "engine", "bytes: floor", "engine", "CPU: floor", "engine", "ratio", "heap: floor", "engine", "sent: floor", "engine")
	for _, v := range r.Results {
		if v.Skipped != "" {
			continue
		}
		row := []string{v.Variant}
		for _, show := range []func(*figures) string{
			func(f *figures) string { return fmt.Sprintf("%.0f", f.Allocs) },
			func(f *figures) string { return fmt.Sprintf("%.0f", f.Bytes) },
			func(f *figures) string { return microseconds(f.CPU) },
			func(f *figures) string { return megabytes(f.Heap) },
			func(f *figures) string { return fmt.Sprintf("%.2f", f.Sent) },
		} {
			row = append(row, v.Floor.show(show), v.Engine.show(show))
		}
		t.add(slices.Insert(row, 7, v.CPU.middle())...)
	}
	return t
}

func (r *report) soak() *table {
	t := &table{}
	t.add("sagas", "sagas/s", "live heap", "goroutines")
	for _, s := range r.Soak {
		t.add(fmt.Sprint(s.Sagas), fmt.Sprintf("%.0f", s.Rate), megabytes(s.Heap), fmt.Sprint(s.Goroutines))
	}
	return t
}

const none = "-"

// show shows a figure, or none for a side that was left out.
// timed reports whether it was measured how long a saga takes.
func (f *figures) timed() bool { return f != nil && f.P50 > 0 }

func (f *figures) show(figure func(*figures) string) string {
	if f == nil {
		return none
	}
	return figure(f)
}

func (s *spread) middle() string {
	if s == nil {
		return none
	}
	return fmt.Sprintf("%.2f", s.Median)
}

func (s *spread) ends() string {
	if s == nil {
		return none
	}
	return fmt.Sprintf("(%.2f..%.2f)", s.Min, s.Max)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.3f ms", d.Seconds()*1e3) }
func microseconds(d time.Duration) string { return fmt.Sprintf("%.0f µs", d.Seconds()*1e6) }
func megabytes(bytes uint64) string       { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
