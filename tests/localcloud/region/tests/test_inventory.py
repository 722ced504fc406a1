"""The inventory lists what exists and nothing that is gone."""


def test_what_is_created_is_listed_and_what_is_deleted_is_not(cloud):
    ec2, s3 = cloud.client("ec2"), cloud.client("s3")
    before = cloud.control("GET", "/inventory")
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    s3.create_bucket(Bucket="kept")
    s3.put_bucket_versioning(Bucket="kept", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="kept", Key="a/b", Body=b"x")
    during = cloud.control("GET", "/inventory")
    assert vpc in during["vpcs"]
    assert during["objects"] == ["kept/a/b"]
    s3.delete_object(Bucket="kept", Key="a/b")
    ec2.delete_vpc(VpcId=vpc)
    assert cloud.control("GET", "/inventory") == before
