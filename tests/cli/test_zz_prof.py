import cProfile, pstats, time, pytest
def test_p(command):
    command("builder","list")
    t=time.process_time(); w=time.time()
    pr=cProfile.Profile(); pr.enable()
    for _ in range(10): command("builder","list","--json")
    pr.disable()
    print("cpu", (time.process_time()-t)/10, "wall", (time.time()-w)/10)
    import io; s=io.StringIO(); pstats.Stats(pr,stream=s).sort_stats("cumulative").print_stats(45); open("/tmp/farm/cli/prof.txt","w").write(s.getvalue())
    assert 0
