package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fileMode      = 0o600
	directoryMode = 0o700
	tailBlock     = 64 << 10
	// maxLines fit into one call of writev, which takes 1024 parts.
	maxLines = 512
)

var lineEnd = []byte{'\n'}

// lineFile is a file that holds whole lines only, whatever fails. One goroutine uses it.
type lineFile struct {
	path     string
	maxBytes int64
	file     *os.File
	// size is the end of the last line on disk; anything behind it is cut before the next write.
	size int64
	torn bool
}

// openLineFile opens or creates a file and cuts what a killed writer left behind its last line end.
func openLineFile(path string, maxBytes int64) (*lineFile, int64, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, 0, err
	}
	f := &lineFile{path: absolute, maxBytes: maxBytes}
	cut, err := f.open()
	return f, cut, err
}

func (f *lineFile) open() (int64, error) {
	if err := os.MkdirAll(filepath.Dir(f.path), directoryMode); err != nil {
		return 0, err
	}
	flags := os.O_RDWR | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	file, err := os.OpenFile(f.path, flags, fileMode)
	if err != nil {
		return 0, err
	}
	size, cut, err := prepare(file)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("%s: %w", f.path, err), file.Close())
	}
	f.file, f.size, f.torn = file, size, false
	return cut, syncDirectory(filepath.Dir(f.path))
}

// prepare locks the file and ends it at its last line end.
func prepare(file *os.File) (size, cut int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, 0, errors.New("not a regular file")
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, 0, fmt.Errorf("another writer has it open: %w", err)
	}
	size, err = findLastLineEnd(file, info.Size())
	if err != nil || size == info.Size() {
		return size, 0, err
	}
	return size, info.Size() - size, file.Truncate(size)
}

func findLastLineEnd(file *os.File, end int64) (int64, error) {
	block := make([]byte, tailBlock)
	for end > 0 {
		start := max(0, end-tailBlock)
		part := block[:end-start]
		if _, err := file.ReadAt(part, start); err != nil {
			return 0, err
		}
		if last := bytes.LastIndexByte(part, '\n'); last >= 0 {
			return start + int64(last) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// write appends lines, each given without its end, by one call of the system, and syncs. After an
// error none of them is in the file.
func (f *lineFile) write(lines [][]byte) (rotated bool, size int64, err error) {
	parts, size := endLines(lines)
	if err := f.cutTorn(); err != nil {
		return false, 0, err
	}
	rotated, err = f.makeRoom(size)
	if err != nil {
		return rotated, 0, err
	}
	f.torn = true
	if err := f.append(parts, size); err != nil {
		return rotated, 0, errors.Join(fmt.Errorf("%s: %w", f.path, err), f.cutTorn())
	}
	f.torn = false
	f.size += size
	return rotated, size, nil
}

func (f *lineFile) append(parts [][]byte, size int64) error {
	written, err := unix.Writev(int(f.file.Fd()), parts)
	if err != nil {
		return err
	}
	if int64(written) < size {
		return fmt.Errorf("%d of %d bytes written: %w", written, size, syscall.ENOSPC)
	}
	return unix.Fdatasync(int(f.file.Fd()))
}

// endLines puts a line end behind each line, without copying any.
func endLines(lines [][]byte) (parts [][]byte, size int64) {
	parts = make([][]byte, 0, 2*len(lines))
	for _, line := range lines {
		parts = append(parts, line, lineEnd)
		size += int64(len(line)) + 1
	}
	return parts, size
}

func (f *lineFile) cutTorn() error {
	if !f.torn {
		return nil
	}
	if err := f.file.Truncate(f.size); err != nil {
		return fmt.Errorf("%s: cannot cut what was not written whole: %w", f.path, err)
	}
	f.torn = false
	return nil
}

// makeRoom gives the path a new file where it has none any more, or where the old one is full.
func (f *lineFile) makeRoom(size int64) (rotated bool, err error) {
	if !f.isAtPath() {
		return false, f.reopen()
	}
	if f.maxBytes == 0 || f.size == 0 || f.size+size <= f.maxBytes {
		return false, nil
	}
	if err := os.Rename(f.path, nameRotated(f.path, time.Now())); err != nil {
		return false, err
	}
	return true, f.reopen()
}

// isAtPath is false after somebody renamed or deleted the file.
func (f *lineFile) isAtPath() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	open, err := f.file.Stat()
	return err == nil && os.SameFile(there, open)
}

func (f *lineFile) reopen() error {
	former := f.file
	if _, err := f.open(); err != nil {
		return err
	}
	return former.Close()
}

func (f *lineFile) close() error {
	return f.file.Close()
}

// nameRotated is the name that `cert` knows rotated files by, the first that is free from now on.
func nameRotated(path string, now time.Time) string {
	suffix := filepath.Ext(path)
	stem := strings.TrimSuffix(path, suffix)
	for ; ; now = now.Add(time.Microsecond) {
		utc := now.UTC()
		stamp := fmt.Sprintf("%s%06dZ", utc.Format("20060102T150405"), utc.Nanosecond()/1000)
		name := stem + "." + stamp + suffix
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name
		}
	}
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
