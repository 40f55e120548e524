-- What slaves that download may fetch; see storage/files/handed_out.py.

-- size_for_attempt --
-- Of the chroot or a source file of an attempt that is open and within its time.  No row: not for it.
SELECT content.size
FROM attempt
JOIN build ON build.id = attempt.build
JOIN library_content AS content ON content.sha256 = %(sha256)s
WHERE attempt.id = %(attempt)s AND attempt.outcome IS NULL AND attempt.deadline > now()
  AND (EXISTS (SELECT FROM library_alias WHERE library_alias.id = attempt.chroot AND library_alias.content = content.sha256)
       OR EXISTS (SELECT FROM source_file WHERE source_file.source = build.source
                                            AND source_file.sha256 = content.sha256));
