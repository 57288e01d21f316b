package admin

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// inputFile is a file that an import reads. table is which part of which table it is, and header the row of its columns,
// where it has one.
type inputFile struct{ name, table, header string }

// inputLine is one line of a file, without its end.
type inputLine struct {
	from   *inputFile
	number int
	text   string
}

// longestLine bounds what is kept of a file at once.
const longestLine = 16 << 20

// lineReader reads a file of lines: UTF-8, with a byte order mark or without, plain or gzip, lines that end with LF or
// CRLF. Empty lines and those that begin with # are left out.
type lineReader struct {
	file    *inputFile
	input   io.Closer
	lines   *bufio.Reader
	packed  bool
	number  int
	comment func(text string) // is shown the lines that begin with #
}

// openLines opens a file; "-" is standard input. What is no file of lines in UTF-8 is an error that says what it is.
func openLines(name string) (*lineReader, error) {
	input := os.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		input = f
	}
	l := &lineReader{file: &inputFile{name: name}, input: input, comment: func(string) {}}
	if err := l.begin(input); err != nil {
		return nil, errors.Join(err, input.Close())
	}
	return l, nil
}

func (l *lineReader) begin(input *os.File) error {
	name := l.file.name
	if is, err := input.Stat(); err == nil && is.IsDir() {
		return fmt.Errorf("%s is a folder; what is wanted is a file", name)
	}
	l.lines = bufio.NewReaderSize(input, 1<<16)
	magic, err := l.lines.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if l.packed = bytes.Equal(magic, []byte{0x1f, 0x8b}); l.packed {
		unpacked, err := gzip.NewReader(l.lines)
		if err != nil {
			return l.broken(err)
		}
		l.lines = bufio.NewReaderSize(unpacked, 1<<16)
	} else if strings.HasSuffix(name, ".gz") {
		return fmt.Errorf("%s is not a gzip file, though it is named .gz", name)
	}
	head, _ := l.lines.Peek(4096) // an error comes again where the line is read
	if err := checkEncoding(name, head); err != nil {
		return err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		_, err = l.lines.Discard(3)
		return err
	}
	return nil
}

// checkEncoding refuses what is not one byte a character of ASCII: by its byte order mark, or by zero bytes in its first
// line.
func checkEncoding(name string, head []byte) error {
	encodings := []struct{ mark, encoding, words string }{ // the longer marks first
		{"\xff\xfe\x00\x00", "UTF-32", "UTF-32 (little-endian)"}, {"\x00\x00\xfe\xff", "UTF-32", "UTF-32 (big-endian)"},
		{"\xff\xfe", "UTF-16", "UTF-16 (little-endian)"}, {"\xfe\xff", "UTF-16", "UTF-16 (big-endian)"}}
	encoding, words := "", ""
	for _, e := range encodings {
		if encoding == "" && bytes.HasPrefix(head, []byte(e.mark)) {
			encoding, words = e.encoding, e.words
		}
	}
	if line, _, _ := bytes.Cut(head, []byte("\n")); encoding == "" && bytes.IndexByte(line, 0) >= 0 {
		zeros := [2]int{}
		for at, c := range line {
			if c == 0 {
				zeros[at%2]++
			}
		}
		if encoding, words = "UTF-16LE", "UTF-16 (little-endian, without a byte order mark)"; zeros[0] > zeros[1] {
			encoding, words = "UTF-16BE", "UTF-16 (big-endian, without a byte order mark)"
		}
		if both := zeros[0] > 0 && zeros[1] > 0; both {
			return fmt.Errorf("%s has zero bytes in its first line: it is no text in UTF-8", name)
		}
	}
	if encoding == "" {
		return nil
	}
	return fmt.Errorf("%s is in %s, and only UTF-8 is read: convert it with iconv -f %s -t UTF-8", name, words, encoding)
}

// next returns the next line, or io.EOF. A line that an error of reading cuts off is not returned.
func (l *lineReader) next() (inputLine, error) {
	for {
		raw, err := l.read()
		if err != nil {
			return inputLine{}, err
		}
		l.number++
		text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		trimmed := strings.TrimSpace(text)
		if strings.HasPrefix(trimmed, "#") {
			l.comment(trimmed)
		} else if trimmed != "" {
			return inputLine{l.file, l.number, text}, nil
		}
	}
}

func (l *lineReader) read() ([]byte, error) {
	raw, err := l.lines.ReadSlice('\n')
	var long []byte
	for errors.Is(err, bufio.ErrBufferFull) {
		if long = append(long, raw...); len(long) > longestLine {
			return nil, fmt.Errorf("%s: line %d is longer than %d MiB: this is no file of lines", l.file.name, l.number+1, longestLine>>20)
		}
		raw, err = l.lines.ReadSlice('\n')
	}
	if long != nil {
		raw = append(long, raw...)
	}
	switch {
	case err == nil, errors.Is(err, io.EOF) && len(raw) > 0:
		return raw, nil
	case errors.Is(err, io.EOF):
		return nil, io.EOF
	}
	return nil, l.broken(err)
}

// broken says how far a file could be read.
func (l *lineReader) broken(err error) error {
	if l.packed && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)) {
		return fmt.Errorf("%s: the gzip data is cut off after line %d", l.file.name, l.number)
	}
	return fmt.Errorf("%s: cannot be read after line %d: %w", l.file.name, l.number, err)
}

func (l *lineReader) close() { _ = l.input.Close() }
