-- Source package releases; see storage/sources.py.

-- components --
SELECT array_agg(name::text ORDER BY name) FROM component;

-- add_source --
-- No row: this very source is there.
INSERT INTO source_release (name, version, component, urgency, architectures, dsc)
VALUES (%(name)s, %(version)s, %(component)s, %(urgency)s, %(architectures)s, %(dsc)s)
ON CONFLICT (name, version, dsc) DO NOTHING
RETURNING id;

-- same_source --
SELECT id FROM source_release WHERE name = %(name)s AND version = %(version)s AND dsc = %(dsc)s;

-- add_source_files --
INSERT INTO source_file (source, filename, sha256, size)
SELECT %(source)s, file.filename, file.sha256, file.size
FROM unnest(%(filenames)s::text[], %(sha256s)s::text[], %(sizes)s::bigint[]) AS file (filename, sha256, size);

-- source --
SELECT source.id, source.name, source.version, source.component, source.urgency, source.architectures,
       (SELECT jsonb_agg(jsonb_build_object('filename', file.filename, 'sha256', file.sha256, 'size', file.size)
                         ORDER BY file.filename)
        FROM source_file AS file WHERE file.source = source.id) AS files,
       source.created
FROM source_release AS source
WHERE source.id = %(source)s;
