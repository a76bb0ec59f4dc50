package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"sync"

	"go.opentelemetry.io/collector/component"
)

// lineWriter brings lines to disk.
type lineWriter interface {
	// append returns when the line is on disk, or not in the file at all.
	append(line []byte) error
	close() error
}

type opener func(*Config, component.TelemetrySettings) (lineWriter, error)

// files keeps one writer for each configuration, however many signals use it.
type files struct {
	open   opener
	mutex  sync.Mutex
	opened map[*Config]*openedFile
}

type openedFile struct {
	lineWriter
	users int
}

func newFiles(open opener) *files {
	return &files{open: open, opened: map[*Config]*openedFile{}}
}

func (f *files) acquire(config *Config, settings component.TelemetrySettings) (lineWriter, error) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	file, ok := f.opened[config]
	if !ok {
		writer, err := f.open(config, settings)
		if err != nil {
			return nil, err
		}
		file = &openedFile{lineWriter: writer}
		f.opened[config] = file
	}
	file.users++
	return file, nil
}

func (f *files) release(config *Config) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	file := f.opened[config]
	file.users--
	if file.users > 0 {
		return nil
	}
	delete(f.opened, config)
	return file.close()
}

func openFile(config *Config, settings component.TelemetrySettings) (lineWriter, error) {
	return openJournal(config.Path, int64(config.MaxMB*bytesPerMB), settings)
}
