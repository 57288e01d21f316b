package main

// Stream begins rows that come one after the other: one JSON object a line, or
// CSV; a table comes in pieces, since its widths depend on its rows.
func (p *printer) Stream(columns ...string) *rowStream {
	return &rowStream{printer: p, columns: columns}
}

// rowStream writes rows as they come. Close writes what is left.
type rowStream struct {
	*printer
	columns []string
	pending [][]any
	begun   bool
}

// tablePiece bounds the rows that wait for a table's widths.
const tablePiece = 1000

// Row writes one row, its values in the order of the columns.
func (s *rowStream) Row(values ...any) error {
	switch s.format {
	case formatJSON:
		line, err := jsonObject(s.columns, values)
		if err != nil {
			return err
		}
		_, err = s.w.Write(append(line, '\n'))
		return err
	case formatCSV:
		if err := s.csvHeader(); err != nil {
			return err
		}
		return s.csv(cellsOf([][]any{values}))
	}
	s.pending = append(s.pending, values)
	if len(s.pending) < tablePiece {
		return nil
	}
	return s.flush()
}

// Close writes what is left, and the header of a stream without rows.
func (s *rowStream) Close() error {
	switch s.format {
	case formatJSON:
		return nil
	case formatCSV:
		return s.csvHeader()
	}
	if len(s.pending) == 0 && s.begun {
		return nil
	}
	return s.flush()
}

func (s *rowStream) csvHeader() error {
	if s.begun {
		return nil
	}
	s.begun = true
	return s.csv([][]string{s.columns})
}

func (s *rowStream) flush() error {
	rows := s.pending
	s.pending, s.begun = nil, true
	return s.table(s.columns, rows)
}
